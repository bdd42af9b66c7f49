"""What a container's environment is, as far as the rendering tells."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from deploy.k8s.checks.brought import BROUGHT
from deploy.k8s.checks.rendering import Document, Rendering, at

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
# What the kubelet knows only when the pod runs, in its form.
_FIELDS = {"fieldRef": "10.0.0.1", "resourceFieldRef": "1"}


def resolved(rendering: Rendering, container: Document, *, optional: bool = True) -> dict[str, str | None]:
    """Its variables and their values; None for one that nobody can tell.

    optional: whether ConfigMaps and Secrets that need not be there are.
    """
    found: dict[str, str | None] = {}
    for source in container.get("envFrom", []):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            ref = source.get(field)
            if ref and (optional or not ref.get("optional")):
                contents = contents_of(rendering, kind, ref.get("name", "")) or {}
                found |= {f"{source.get('prefix', '')}{key}": value for key, value in contents.items()}
    for variable in container.get("env", []):
        name, origin = variable.get("name", ""), at(variable, "valueFrom")
        if origin:
            found |= _from(rendering, name, origin, optional=optional)
        else:
            found[name] = expanded(variable.get("value", ""), found)
    return found


def _from(rendering: Rendering, name: str, origin: Document, *, optional: bool) -> dict[str, str | None]:
    """A variable by its valueFrom; {} when it is not set."""
    for field, value in _FIELDS.items():
        if field in origin:
            return {name: value}
    for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        ref = origin.get(field)
        if ref and (optional or not ref.get("optional")):
            contents = contents_of(rendering, kind, ref.get("name", ""))
            if contents is None or ref.get("key") in contents:
                return {name: (contents or {}).get(ref.get("key", ""))}
    return {}


def contents_of(rendering: Rendering, kind: str, wanted: str) -> Mapping[str, str] | None:
    """The contents of a ConfigMap or Secret, for what the operator brings a sample; None when nobody makes it."""
    if (kind, wanted) in BROUGHT:
        return BROUGHT[kind, wanted].samples
    found = rendering.find(kind, wanted)
    if found is None:
        return None
    plain: dict[str, str] = at(found, "data") | at(found, "stringData")
    if kind == "Secret":
        plain = {key: _decoded(value) for key, value in at(found, "data").items()} | at(found, "stringData")
    return plain


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode(errors="replace")


def expanded(value: str, variables: Mapping[str, str | None]) -> str | None:
    """With $(NAME) of a variable that stands before it, as the kubelet does; "$$" is a "$"."""
    unknown = False

    def replace(match: re.Match[str]) -> str:
        nonlocal unknown
        if match[1] is None:
            return "$"
        if match[1] not in variables:
            return match[0]
        text = variables[match[1]]
        unknown = unknown or text is None
        return text or ""

    text = _REFERENCE.sub(replace, value)
    return None if unknown else text
