"""Fixtures of the tests of the manifests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme

from deploy.k8s import gateway as described
from deploy.k8s.checks.kustomize import renderings
from deploy.k8s.checks.rendering import Rendering
from tests.gateway_pod import Moved
from tests.issuer import Issuer


@pytest.fixture
def pod(tmp_path: Path) -> Moved:
    """The files of a gateway with every component."""
    moved = Moved(tmp_path, trustme.CA(), Issuer())
    for name in ("contract", "certificate", "client-authority", "secrets"):
        (tmp_path / name).mkdir()
    (tmp_path / "contract" / "maas.binpb").write_bytes((described.BASE / "maas.binpb").read_bytes())
    issued = moved.authority.issue_cert("maas.example", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "certificate" / "tls.crt"))
    issued.private_key_pem.write_to_path(str(tmp_path / "certificate" / "tls.key"))
    moved.authority.cert_pem.write_to_path(str(tmp_path / "client-authority" / "ca.crt"))
    for path in (described.COMPONENTS / "tls").glob("tls-*.yaml"):
        (tmp_path / "secrets" / path.name).write_text(moved.here(path.read_text()))
    return moved


@pytest.fixture(scope="session")
def rendered() -> Mapping[str, Rendering]:
    """The real manifests: every overlay and combination by its name."""
    return {rendering.name: rendering for rendering in renderings()}
