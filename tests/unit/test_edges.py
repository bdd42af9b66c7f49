"""The table of edges (tests/e2e/edges.py) leaves nothing out."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.router import registry
from tests.e2e.edges import CASES, MODULES

GRAPHS = Path(registry.__file__).parent / "graphs"


def test_every_rpc_has_its_edges():
    """An RPC that is added to a contract must say in the table which spans its trace has."""
    rpcs = {
        f"{service.full_name}/{method.name}"
        for module in MODULES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert rpcs == {case.method for case in CASES.values()}


def test_every_graph_has_its_edges():
    """So does a graph that is added to those that ship."""
    run = {str(case.requests()[0].get("graph", "")) for case in CASES.values() if case.method.endswith("/RunGraph")}
    assert run == {path.stem for path in GRAPHS.glob("*.yaml")}


@pytest.mark.parametrize("name", CASES)
def test_edges_begin_at_the_gateway(name):
    """Each chain begins with the gateway's span of the call and goes on to the service's."""
    case = CASES[name]
    assert case.messages()
    for chain in case.edges:
        assert chain[0] == ("gateway", case.method)
        assert chain[1][1] == case.method
