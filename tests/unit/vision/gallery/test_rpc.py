"""The gallery's RPCs over a real socket, on SQLite, with faked faces."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from maas.type.v1 import media_pb2
from maas.vision.v1 import face_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from services.mesh.server import Servicer
from services.mesh.testing import FakePreprocessor, serve
from services.vision.rpc.gallery import GalleryRpcs
from tests.unit.vision.gallery.conftest import opener
from tests.unit.vision.gallery.faces import vector


class OnlyGallery(GalleryRpcs):
    def __init__(self, gallery):
        self._gallery = gallery
        self._preprocessor = FakePreprocessor()


@asynccontextmanager
async def serving(gallery):
    add = vision_pb2_grpc.add_VisionServiceServicer_to_server
    async with serve(Servicer("maas.vision.v1.VisionService", add, OnlyGallery(gallery))) as channel:
        yield vision_pb2_grpc.VisionServiceStub(channel)


@pytest.fixture
async def stub(tmp_path):
    async with opener(f"sqlite:///{tmp_path / 'faces.sqlite'}")() as gallery, serving(gallery) as stub:
        yield stub


def picture(name: str) -> media_pb2.Image:
    return media_pb2.Image(content=name.encode())


async def enroll(stub, name, **request):
    asked = pb.EnrollFaceRequest(image=picture(name), person_id=name.split()[0], **request)
    return (await stub.EnrollFace(asked)).face


async def failure(call) -> tuple[grpc.StatusCode, str, str]:
    """Code, reason and sentence."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    return caught.value.code(), info.reason, caught.value.details()


async def test_enrol_identify_list_delete(stub):
    """A face goes in, is recognised on another picture, is listed, and goes out."""
    request_id = str(uuid.uuid4())
    enrolled = await stub.EnrollFace(
        pb.EnrollFaceRequest(image=picture("ann 1"), person_id="ann", request_id=request_id)
    )
    assert enrolled.request_id == request_id
    found = await stub.IdentifyFace(pb.IdentifyFaceRequest(image=picture("ann 2"), request_id=request_id))
    assert [candidate.face for candidate in found.candidates] == [enrolled.face]
    assert found.candidates[0].distance == pytest.approx(np.linalg.norm(vector("ann 1") - vector("ann 2")), abs=1e-5)
    assert (found.gallery_size, found.model, found.request_id) == (1, "face-model", request_id)
    assert found.threshold == pytest.approx(0.6)
    assert found.face.bounding_box.x_max == pytest.approx(0.5)
    listed = await stub.ListFaces(pb.ListFacesRequest())
    assert (list(listed.faces), listed.next_page_token) == ([enrolled.face], "")
    deleted = await stub.DeleteFace(pb.DeleteFaceRequest(face_id=enrolled.face.face_id, request_id=request_id))
    assert (deleted.deleted_count, deleted.request_id) == (1, request_id)
    assert not (await stub.IdentifyFace(pb.IdentifyFaceRequest(image=picture("ann 2")))).candidates


async def test_vectors_are_sent_on_request_only(stub):
    """No answer has a vector but that of ListFaces with include_embeddings."""
    enrolled = await enroll(stub, "ann 1")
    found = await stub.IdentifyFace(pb.IdentifyFaceRequest(image=picture("ann 1")))
    listed = await stub.ListFaces(pb.ListFacesRequest())
    quiet = (enrolled, found.face, found.candidates[0].face, listed.faces[0])
    assert [list(face.embedding) for face in quiet] == [[]] * 4
    asked = await stub.ListFaces(pb.ListFacesRequest(include_embeddings=True))
    np.testing.assert_array_equal(np.float32(asked.faces[0].embedding), vector("ann 1"))


async def test_the_tenant_is_named_by_metadata(stub):
    """A call is about the gallery of its maas-tenant; without one about that of "default"."""
    await enroll(stub, "ann 1")

    async def size(*metadata):
        return len((await stub.ListFaces(pb.ListFacesRequest(), metadata=metadata)).faces)

    assert [await size(), await size(("maas-tenant", "default")), await size(("maas-tenant", "b-1_"))] == [1, 1, 0]


@pytest.mark.parametrize("names", [[""], ["Upper"], ["a" * 65], ["a/b"], ["a", "b"]])
async def test_strange_tenants_are_refused(stub, names):
    """A name outside a-z, 0-9, - and _, one that is too long, and two names are INVALID_ARGUMENT."""
    metadata = [("maas-tenant", name) for name in names]
    code, _, details = await failure(stub.ListFaces(pb.ListFacesRequest(), metadata=metadata))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith("maas-tenant:")


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("EnrollFace", pb.EnrollFaceRequest(person_id="ann"), "image.content"),
        ("EnrollFace", pb.EnrollFaceRequest(image=picture("ann 1")), "person_id"),
        ("EnrollFace", pb.EnrollFaceRequest(image=picture("ann 1"), person_id="é" * 129), "person_id"),
        ("EnrollFace", pb.EnrollFaceRequest(image=picture("ann 1"), person_id="ann", request_id="x"), "request_id"),
        ("IdentifyFace", pb.IdentifyFaceRequest(image=picture("ann 1"), max_results=101), "max_results"),
        ("IdentifyFace", pb.IdentifyFaceRequest(image=picture("ann 1"), max_distance=2.5), "max_distance"),
        ("IdentifyFace", pb.IdentifyFaceRequest(image=picture("ann 1"), max_distance=float("nan")), "max_distance"),
        ("DeleteFace", pb.DeleteFaceRequest(), "face_id"),
        ("DeleteFace", pb.DeleteFaceRequest(person_id=""), "person_id"),
        ("ListFaces", pb.ListFacesRequest(page_size=1001), "page_size"),
        ("ListFaces", pb.ListFacesRequest(page_token="made up"), "page_token"),  # noqa: S106 - opens nothing
        ("ListFaces", pb.ListFacesRequest(person_id="x" * 257), "person_id"),
    ],
)
async def test_bad_requests_name_the_field(stub, method, request_, field):
    """INVALID_ARGUMENT names the field that is wrong."""
    code, _, details = await failure(getattr(stub, method)(request_))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(f"{field}:")


async def test_pictures_without_one_face(stub):
    """No face, and several faces when enrolling, are FAILED_PRECONDITION; identifying takes the largest of several."""
    for name, reason in (("nobody", "FACE_NOT_FOUND"), ("ann 1+bob 1", "SEVERAL_FACES")):
        code, told, _ = await failure(enroll(stub, name))
        assert (code, told) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    await enroll(stub, "ann 1")
    found = await stub.IdentifyFace(pb.IdentifyFaceRequest(image=picture("ann 2+bob 1")))
    assert [candidate.face.person_id for candidate in found.candidates] == ["ann"]


async def test_names_are_not_repeated_in_errors(stub):
    """Who was not found is not told to logs that keep the error's text."""
    code, reason, details = await failure(stub.DeleteFace(pb.DeleteFaceRequest(person_id="annabella")))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "PERSON_NOT_FOUND")
    assert "annabella" not in details


async def test_spans_and_logs_carry_no_person(stub, spans, capsys):
    """Neither a name nor a vector is recorded of a call."""
    await enroll(stub, "annabella 1")
    await stub.ListFaces(pb.ListFacesRequest(include_embeddings=True))
    recorded = "".join(span.to_json() for span in spans.get_finished_spans()) + "".join(capsys.readouterr())
    assert "EnrollFace" in recorded
    assert "annabella" not in recorded
    assert f"{vector('annabella 1')[0]:.4f}" not in recorded


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("EnrollFace", pb.EnrollFaceRequest(image=picture("ann 1"), person_id="ann")),
        ("IdentifyFace", pb.IdentifyFaceRequest(image=picture("ann 1"))),
        ("DeleteFace", pb.DeleteFaceRequest(person_id="ann")),
        ("ListFaces", pb.ListFacesRequest()),
    ],
)
async def test_without_a_key_there_is_no_gallery(method, request_):
    """Each RPC fails with FAILED_PRECONDITION and the reason GALLERY_DISABLED."""
    async with serving(None) as stub:
        code, reason, _ = await failure(getattr(stub, method)(request_))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "GALLERY_DISABLED")
