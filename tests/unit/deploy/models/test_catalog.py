"""The catalog is checked field by field, and says which file and field is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deploy.models import build
from deploy.models.catalog import CatalogError, Samples, Server, load, load_catalog, read_labels


def test_the_shipped_catalog_is_right():
    """Every catalog file that we ship is valid, has a builder that takes its options, and each task has a default."""
    places = build.Places(cache=Path("unused"), output=Path("unused"))
    models = load_catalog(places.catalog)
    assert {"canary", "efficientnet-lite0", "whisper-base"} <= {model.name for model in models}
    for model in models:
        build.plan(model, places)
    assert {model.task for model in models if model.default} == {model.task for model in models if model.task}


def test_the_shipped_server_and_samples_are_right():
    """server.yaml and samples.yaml are valid, and there are photos, recordings and videos."""
    places = build.Places(cache=Path("unused"), output=Path("unused"))
    assert load(places.server, Server).name == "tritonserver"
    assert {sample.kind for sample in load(places.samples, Samples).samples} == {"photo", "recording", "video"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "blue"}, "colour"),
        ({"licence": ""}, "licence"),
        ({"summary": None}, "summary"),
        ({"sources": [{"package": "tiny", "files": {"a": "0" * 64}}]}, "package"),
        ({"sources": [{"package": "pypi:tiny==1.0", "files": {"a": "12"}}]}, "sources"),
        ({"sources": [{"package": "pypi:tiny==1.0", "files": {"../a": "0" * 64}}]}, "relative path"),
        ({"inputs": [{"name": "images", "dtype": "FLOAT", "shape": [1]}]}, "inputs.0.dtype"),
        ({"outputs": [{"name": "execution_ns", "dtype": "INT64", "shape": [2]}]}, "execution_ns"),
        ({"runtime": {"backend": "python"}}, "runtime"),
        ({"labels": {"file": "nowhere.json"}}, "labels.file"),
        ({"language_notes": {"fr": "Weak."}}, "language_notes names fr"),
        ({"runtime": {"backend": "onnxruntime", "decoupled": True}}, "decoupled"),
        ({"stands_in_for": "other"}, "stands_in_for"),
        ({"monitor": [{"name": "x", "tensor": "nothing", "of": "mean"}]}, "monitor.x names tensor 'nothing'"),
        ({"monitor": [{"name": "x", "tensor": "images", "of": "median"}]}, "monitor.0.of"),
        ({"monitor": [{"name": "x", "tensor": "images", "of": "mean"}] * 2}, "two measures of one name"),
        ({"needs": {"memory_gib": 4}}, "needs: exactly one other model"),
    ],
)
def test_an_error_names_file_and_field(entry, write, change, field):
    """A wrong field is reported with the file's name and the field's."""
    with pytest.raises(CatalogError) as error:
        load_catalog(write(entry | change))
    assert "tiny.yaml: " in str(error.value)
    assert field in str(error.value)


def test_a_builder_option_is_named_too(entry, write, tmp_path):
    """An option that the builder does not know is reported like any other field."""
    entry["builder"]["speed"] = "high"
    (model,) = load_catalog(write(entry))
    with pytest.raises(CatalogError, match=r"tiny\.yaml: builder\.speed: "):
        build.plan(model, build.Places(cache=tmp_path, output=tmp_path))


def test_an_unknown_builder_lists_the_known(entry, write, tmp_path):
    """An unknown builder's error lists those that exist."""
    entry["builder"]["name"] = "magic"
    (model,) = load_catalog(write(entry))
    with pytest.raises(CatalogError, match=r"builder\.name: 'magic' is not one of .*files"):
        build.plan(model, build.Places(cache=tmp_path, output=tmp_path))


def test_one_default_a_task(entry, write):
    """Two defaults for one task are refused, naming both files."""
    write(entry | {"name": "other", "default": True})
    with pytest.raises(CatalogError, match=r"tiny\.yaml: default: other\.yaml"):
        load_catalog(write(entry | {"default": True}))


def test_a_default_for_each_language(entry, write):
    """Two defaults for one task are right when no text could be for both."""
    write(entry | {"name": "other", "default": True, "languages": ["zh"]})
    assert len(load_catalog(write(entry | {"default": True, "languages": ["en"]}))) == 2
    with pytest.raises(CatalogError, match="is the default of image-classification already"):
        load_catalog(write(entry | {"default": True, "languages": ["en", "zh"]}))


def test_a_stand_in_is_no_default(entry, write):
    """It becomes the default where the model is not built that it stands in for."""
    write(entry | {"name": "small", "stands_in_for": "tiny", "default": True, "languages": ["en"]})
    with pytest.raises(CatalogError, match=r"small\.yaml: default: a stand-in"):
        load_catalog(write(entry | {"needs": {"memory_gib": 4}}))


def test_the_file_is_named_like_the_model(entry, write):
    """A file whose name is not the model's is refused: people look for the one by the other."""
    directory = write(entry)
    (directory / "tiny.yaml").rename(directory / "small.yaml")
    with pytest.raises(CatalogError, match=r"small\.yaml: name"):
        load_catalog(directory)


@pytest.mark.parametrize(("file", "content"), [("names.json", '["a", "b"]'), ("names.txt", "a\n\nb\n")])
def test_labels_are_read_from_a_source_file(entry, write, tmp_path, file, content):
    """Class names come from JSON or from lines, and single ones can be replaced."""
    entry["sources"][0]["files"][file] = "0" * 64
    entry["labels"] = {"file": file, "replace": {1: "better"}}
    (model,) = load_catalog(write(entry))
    (tmp_path / file).write_text(content, encoding="utf-8")
    assert read_labels(model, {file: tmp_path / file}) == (["a", "better"], [])


def test_the_newest_version_stands_for_the_model(entry, write):
    """It knows those before it, in the order of their numbers; ten is more than nine."""
    for version in (10, 1, 9):
        directory = write(entry | {"version": version, "default": True})
    (model,) = load_catalog(directory)
    assert (model.version, [older.version for older in model.older]) == (10, [1, 9])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tiny.3.yaml", {"version": 2}, "tiny.3.yaml: name: is 'tiny' in version 2, whose file is 'tiny.2.yaml'"),
        ("tiny.2.yaml", {}, "tiny.2.yaml: name: is 'tiny' in version 1, whose file is 'tiny.yaml'"),
        ("tiny.2.yaml", {"version": 2, "task": "other"}, "tiny.2.yaml: task: is other, in tiny.yaml image-class"),
        ("tiny.0.yaml", {"version": 0}, "tiny.0.yaml: version: Input should be greater than or equal to 1"),
    ],
)
def test_versions_that_are_wrong(entry, write, name, change, message):
    """The file is called as the version is, and does the same task."""
    directory = write(entry)
    (directory / name).write_text(yaml.safe_dump(entry | change))
    with pytest.raises(CatalogError, match=message):
        load_catalog(directory)
