"""Whether each program can read its settings from the environment that the manifests give it."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsError

from deploy.k8s.checks.containers import OWN_IMAGES
from deploy.k8s.checks.environment import contents_of, resolved
from deploy.k8s.checks.rendering import Document, Problem, Rendering, Workload, at
from services.mesh.resource import KUBERNETES

_REPOSITORY = Path(__file__).resolve().parents[3]
# Read by libraries: OpenTelemetry, gRPC, Python, OpenMP and the C library.
_LIBRARIES = re.compile(r"(OTEL|GRPC|OMP|PYTHON|MALLOC)_?[A-Z0-9_]*|HOME|TMPDIR|TZ|LANG|SSL_CERT_FILE")
# A path that is wrong here may be right in the image; `_places` looks whether it is.
_PATH_ERRORS = frozenset({"path_not_directory", "path_not_file", "path_does_not_exist"})
_OWN_ADDRESSES = {"listen_address": "grpc", "metrics_address": "metrics"}
# Triton on processors is run by the guard of one machine, whose settings have a module elsewhere.
_GUARD = {"triton-cpu": "deploy.local.triton.settings"}
_IN_PROCESS = "in-process"


def variables(rendering: Rendering) -> Iterator[Problem]:
    """Every variable is one that its program reads; a misspelt one would be ignored without a word."""
    for workload, container, settings in programs(rendering):
        known = set(variables_of(settings))
        for variable in resolved(rendering, container):
            if variable not in known | KUBERNETES.keys() and not _LIBRARIES.fullmatch(variable):
                yield Problem(
                    workload.where(container),
                    f"{variable} is no setting of {settings.__module__}: correct its name, or remove it",
                )


def required_variables(rendering: Rendering) -> Iterator[Problem]:
    """Every setting without a default is set, also when optional ConfigMaps and Secrets are not there."""
    for workload, container, settings in programs(rendering):
        given = resolved(rendering, container, optional=False)
        for variable, field in variables_of(settings).items():
            is_given = variable in given or _in_images(f"{variable}=")
            if settings.model_fields[field].is_required() and not is_given:
                yield Problem(workload.where(container), f"{variable} is missing, which has no default: set it")


def variable_values(rendering: Rendering) -> Iterator[Problem]:
    """The program's own settings take the values, with and without what is optional."""
    for workload, container, settings in programs(rendering):
        texts: dict[str, None] = {}
        for optional in (True, False):
            values = resolved(rendering, container, optional=optional)
            with tempfile.TemporaryDirectory() if _in_volumes(container, values) else nullcontext("") as folder:
                placed = _placed(rendering, workload, container, values, Path(folder)) if folder else values
                texts |= dict.fromkeys(_refused(settings, placed))
        for text in texts:
            yield Problem(workload.where(container), text)


def _refused(settings: type[BaseSettings], environment: Mapping[str, str | None]) -> Iterator[str]:
    unknown = {field for variable, field in variables_of(settings).items() if environment.get(variable, "") is None}
    source = EnvSettingsSource(settings)
    source.env_vars = {key.lower(): value for key, value in environment.items() if value is not None}
    try:
        _alone(settings)(**source())
    except SettingsError as error:  # a list or an object that is no JSON
        yield str(error)
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        for each in error.errors(include_url=False, include_input=False):
            field = str(each["loc"][0]) if each["loc"] else ""
            # What is missing `required_variables` says, unless it is only that nobody can tell its value.
            if each["type"] != "missing" and field not in unknown and each["type"] not in _PATH_ERRORS:
                yield f"{prefix}{field.upper()}: {each['msg']}" if field else each["msg"]


@cache
def _alone(settings: type[BaseSettings]) -> type[BaseSettings]:
    """The same settings, which read nothing from this process's own environment."""

    class Alone(settings):  # type: ignore[misc, valid-type]
        @classmethod
        def settings_customise_sources(
            cls, _: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *__: Any, **___: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

    return Alone


def _in_volumes(container: Document, values: Mapping[str, str | None]) -> bool:
    mounted = [str(each.get("mountPath")) for each in container.get("volumeMounts", [])]
    return any(PurePosixPath(value).is_relative_to(each) for value in values.values() if value for each in mounted)


def _placed(
    rendering: Rendering, workload: Workload, container: Document, values: Mapping[str, str | None], folder: Path
) -> dict[str, str | None]:
    """The values, where paths into volumes lead into a folder that looks like them."""
    volumes = {volume.get("name"): volume for volume in workload.pod.get("volumes", [])}
    placed = dict(values)
    for mount in container.get("volumeMounts", []):
        root = folder / str(mount.get("mountPath", "")).lstrip("/")
        root.mkdir(parents=True, exist_ok=True)
        volume = volumes.get(mount.get("name"), {})
        for field, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            contents = contents_of(rendering, kind, at(volume, field).get(key, "")) if field in volume else None
            for file, text in (contents or {}).items():
                (root / file).write_text(text, encoding="utf-8")
        for variable, value in values.items():
            if value and PurePosixPath(value).is_relative_to(str(mount.get("mountPath"))):
                placed[variable] = str(folder / value.lstrip("/"))
    return placed


def paths(rendering: Rendering) -> Iterator[Problem]:
    """A path in a setting is in a volume, or made by the Dockerfile of the image."""
    for workload, container, settings in programs(rendering):
        for variable, field in variables_of(settings).items():
            value = resolved(rendering, container).get(variable)
            if not value or "Path" not in str(settings.model_fields[field].annotation):
                continue
            mounted = [str(each.get("mountPath")) for each in container.get("volumeMounts", [])]
            if not any(PurePosixPath(value).is_relative_to(each) for each in mounted) and not _in_images(value):
                yield Problem(
                    workload.where(container),
                    f"{variable}: {value} is in no volume and no Dockerfile: mount it, or correct the path",
                )


def _in_images(text: str) -> bool:
    """Whether a Dockerfile has a path, or sets a variable ("NAME=")."""
    return any(text in file.read_text() for file in (_REPOSITORY / "deploy" / "docker").glob("*Dockerfile*"))


def listening(rendering: Rendering) -> Iterator[Problem]:
    """A program listens on the ports that its container declares, and for more than its own pod."""
    for workload, container, settings in programs(rendering):
        ports = {port.get("name"): port.get("containerPort") for port in container.get("ports", [])}
        values = resolved(rendering, container)
        for variable, field in variables_of(settings).items():
            if field in _OWN_ADDRESSES and (value := values.get(variable)):
                host, _, port = value.rpartition(":")
                if port != str(ports.get(_OWN_ADDRESSES[field])):
                    yield Problem(
                        workload.where(container),
                        f"{variable} is {value}, and port {_OWN_ADDRESSES[field]!r} is "
                        f"{ports.get(_OWN_ADDRESSES[field])}: make them equal",
                    )
                if host in {"127.0.0.1", "localhost", "[::1]"}:
                    yield Problem(
                        workload.where(container),
                        f"{variable} is {value}, which no other pod reaches: 0.0.0.0",
                    )


def backends(rendering: Rendering) -> Iterator[Problem]:
    """What a program calls is a Service of the rendering."""
    for workload, container, settings in programs(rendering):
        fields = {variable: field for variable, field in variables_of(settings).items() if field not in _OWN_ADDRESSES}
        for variable, value in resolved(rendering, container).items():
            called = fields.get(variable, "").endswith("_address") or variable.startswith("OTEL_EXPORTER_OTLP_ENDPOINT")
            if not called or not value or value == _IN_PROCESS:
                continue
            host = value.rpartition("//")[2].rpartition(":")[0].lstrip("/").partition(".")[0]
            if rendering.find("Service", host) is None:
                yield Problem(
                    workload.where(container),
                    f"{variable} is {value}, and there is no Service {host!r}: correct it",
                )


def service_links(rendering: Rendering) -> Iterator[Problem]:
    """Kubernetes adds no variables of its own, such as TRITON_PORT, which programs would take for settings."""
    for workload in rendering.workloads:
        if workload.pod.get("enableServiceLinks", True):
            yield Problem(workload.reference, "gets a variable for every Service: set enableServiceLinks: false")


def programs(rendering: Rendering) -> Iterator[tuple[Workload, Document, type[BaseSettings]]]:
    """Every container that runs a program of ours, with its settings."""
    for workload in rendering.workloads:
        for container in workload.containers:
            settings = settings_of(container.get("image", ""))
            if settings is not None:
                yield workload, container, settings


@cache
def settings_of(image: str) -> type[BaseSettings] | None:
    """The settings of the program in an image of ours, "maas-mesh/nlp:0.1.0"; None for other images."""
    program = image.rpartition(OWN_IMAGES)[2].partition(":")[0].partition("@")[0] if OWN_IMAGES in image else ""
    module = _GUARD.get(program, f"services.{program}.settings")
    if not program or not (_REPOSITORY / f"{module.replace('.', '/')}.py").is_file():
        return None
    settings: type[BaseSettings] = importlib.import_module(module).Settings
    return settings


def variables_of(settings: type[BaseSettings]) -> dict[str, str]:
    """Variable -> field."""
    prefix = settings.model_config.get("env_prefix", "")
    return {f"{prefix}{field}".upper(): field for field in settings.model_fields}
