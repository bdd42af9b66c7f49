"""The roles for people: enough for `maas cluster`, and not more."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit.cli.cluster.api_server import ApiServer, Object
from tests.unit.cli.cluster.conftest import NAMESPACE
from tests.unit.cli.fakes import Maas

ROLES = Path(__file__).parents[4] / "deploy" / "k8s" / "components" / "access"


def roles(name: str) -> list[Object]:
    """As they are applied."""
    return list(yaml.safe_load_all((ROLES / f"{name}.yaml").read_text()))


def rights(name: str) -> set[tuple[str, str, str]]:
    """Group, resource and verb of everything that a role allows."""
    return {
        (group, resource, verb)
        for role in roles(name)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize(
    ("role", "commands"),
    [
        ("viewer", ["cluster status"]),
        ("model-operator", ["cluster models", "cluster models load writer", "cluster models unload writer"]),
    ],
)
def test_roles_are_what_their_commands_need(cluster: ApiServer, maas: Maas, role: str, commands: list[str]):
    """With its role a command does its work, and there is nothing in the role that it does not use."""
    cluster.roles = roles(role)
    for command in commands:
        shown = maas(*command.split())
        assert shown.exit_code == 0, shown.stderr
    assert cluster.asked == rights(role)


def test_who_may_look_may_not_change(cluster: ApiServer, maas: Maas):
    """The viewer's role does not let models be unloaded."""
    cluster.roles = roles("viewer")
    shown = maas("cluster", "models", "unload", "writer")
    assert shown.exit_code == 1
    assert 'cannot create resource "pods/proxy"' in shown.stderr
    assert cluster.pods["triton-a"].asked == []


def test_the_role_for_checking(server: ApiServer, maas: Maas, tmp_path: Path, manifests: list[Object]):
    """The checker's role is what the check uses when every kind of thing is referred to."""
    server.roles = roles("checker")
    pod = manifests[1]["spec"]["template"]["spec"]
    pod["priorityClassName"] = "first"
    pod["volumes"] += [
        {"name": "a", "configMap": {"name": "theirs"}},
        {"name": "b", "persistentVolumeClaim": {"claimName": "theirs"}},
    ]
    server.objects |= {
        f"/api/v1{NAMESPACE}/configmaps/theirs": {},
        f"/api/v1{NAMESPACE}/persistentvolumeclaims/theirs": {},
        f"/api/v1{NAMESPACE}/resourcequotas": [{"metadata": {"name": "team"}, "status": {}}],
        "/apis/scheduling.k8s.io/v1/priorityclasses/first": {},
    }
    file = tmp_path / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    shown = maas("cluster", "check", str(file))
    assert shown.exit_code == 0, shown.stdout
    # Who may ask for a Secret may read it, so that of Secrets it cannot tell.
    assert [line.split()[1] for line in shown.stdout.splitlines() if line.startswith("unknown")] == ["Secret"]
    assert server.asked == rights("checker") | {("", "secrets", "get")}
