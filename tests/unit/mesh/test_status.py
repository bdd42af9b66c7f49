"""The table between errors and statuses."""

import grpc
import pytest
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from services.mesh import errors
from services.mesh.status import CODES, code_of, from_rpc_error, from_status, to_status


def every_error() -> list[type[errors.MeshError]]:
    found = [errors.MeshError]
    for error in found:
        found.extend(error.__subclasses__())
    return found


@pytest.mark.parametrize("error", every_error())
def test_every_error_has_a_status_with_error_info(error):
    """Each error class becomes a status whose ErrorInfo has the domain "maas" and a reason."""
    status = to_status(error("a sentence"))
    info = error_details_pb2.ErrorInfo()
    assert status.code == code_of(error("")).value[0] != 0
    assert status.details[0].Unpack(info)
    assert (info.domain, bool(info.reason)) == ("maas", True)


def test_a_new_subclass_takes_the_code_of_its_parent():
    """An error that the table does not name has the code of its nearest ancestor there."""

    class VoiceNotFound(errors.NotFound):
        pass

    assert code_of(VoiceNotFound("")) is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("error", [each for each in CODES if each is not errors.MeshError])
def test_a_status_comes_back_as_the_same_error(error):
    """What one service raises, the service that called it raises again, with every detail."""
    sent = error(
        "a sentence",
        reason="SOME_REASON",
        metadata={"model": "m"},
        violations=[errors.Violation("contents[3]", "too long")],
        retry_after_seconds=1.5,
    )
    got = from_status(Status.FromString(to_status(sent).SerializeToString()))
    assert type(got) is error
    assert vars(got) == vars(sent)


def test_a_missing_name_lists_those_that_exist():
    """NotFound.named tells people and programs what there is instead."""
    error = errors.NotFound.named("model", "nope", ["b", "a"])
    assert error.reason == "MODEL_NOT_FOUND"
    assert error.metadata == {"model": "nope", "known": "a, b"}
    assert "a, b" in error.message


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("looks-twice@v2.1", "'looks-twice@v2.1'"),
        ("graphs/a_b", "'graphs/a_b'"),
        ("Ann Lee, 12", "that"),
        ("x" * 101, "that"),
        ("", "that"),
    ],
)
def test_what_can_be_no_name_is_not_repeated(asked, said):
    """A message has a name that was asked for; of free text nothing, since proxies keep messages."""
    assert errors.NotFound.named("graph", asked, ["a"]).message == f"no graph is called {said}; there are: a"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Exhausted),
        (grpc.StatusCode.CANCELLED, errors.Cancelled),
        (grpc.StatusCode.UNKNOWN, errors.Internal),
    ],
)
def test_a_status_without_details_keeps_its_code_and_not_its_text(code, error):
    """Texts of gRPC itself hold addresses and paths, so callers get a sentence of ours."""
    metadata = grpc.aio.Metadata()
    got = from_rpc_error(grpc.aio.AioRpcError(code, metadata, metadata, "ipv4:10.0.0.1:80 /secret"), "maas.x.v1.X")
    assert type(got) is error
    assert "secret" not in got.message
    assert got.metadata["service"] == "maas.x.v1.X"
