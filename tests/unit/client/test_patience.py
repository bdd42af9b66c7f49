"""Which failures are worth another try, and after how long."""

from __future__ import annotations

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from services.client.patience import Patience, Tries
from services.mesh import errors
from services.mesh.status import to_status


def failure(code: grpc.StatusCode, meant: errors.MeshError | None = None) -> AioRpcError:
    """A call's error, with the status that a server of the mesh meant by it, if it was one."""
    details = [("grpc-status-details-bin", to_status(meant).SerializeToString())] if meant else []
    return AioRpcError(code, Metadata(), Metadata(*details), meant.message if meant else "")


def test_pauses_double_up_to_the_longest():
    """Each pause is twice the one before, plus up to a quarter, and progress begins anew."""
    tries = Tries(Patience(tries=9, first_seconds=1, longest_seconds=6), place_seconds=0)
    error = failure(grpc.StatusCode.UNAVAILABLE)
    for expected in (1, 2, 4, 6, 6):
        assert expected <= tries.pause_seconds(error, answered=False) <= expected * 1.25
    tries.progress()
    assert tries.pause_seconds(error, answered=False) <= 1.25


def test_a_server_that_asks_for_a_longer_pause_gets_it():
    """RetryInfo makes a pause longer, never shorter."""
    tries = Tries(Patience(first_seconds=1), place_seconds=0)
    busy = errors.Unavailable("the model is loading", retry_after_seconds=7)
    assert 7 <= tries.pause_seconds(failure(grpc.StatusCode.UNAVAILABLE, busy), answered=False) <= 7 * 1.25


def test_a_place_is_not_waited_for_longer_than_asked():
    """A refusal whose pause would end later than the caller wants to wait is raised."""
    tries = Tries(Patience(), place_seconds=5)
    soon = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Exhausted("full", retry_after_seconds=1))
    late = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Exhausted("full", retry_after_seconds=6))
    assert tries.pause_seconds(soon, answered=False) >= 1
    with pytest.raises(AioRpcError):
        tries.pause_seconds(late, answered=False)


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN])
def test_a_status_that_nobody_wrote_is_a_broken_connection(code: grpc.StatusCode):
    """Proxies end streams with codes that mean a fault elsewhere; only with a server's own reason do they here."""
    assert Tries(Patience(), place_seconds=0).pause_seconds(failure(code), answered=True) > 0
    with pytest.raises(AioRpcError):
        Tries(Patience(), place_seconds=0).pause_seconds(failure(code, errors.Internal("a bug")), answered=True)
