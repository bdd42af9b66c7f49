"""The gallery of faces through the gateway: who is known, to whom, for how long, and what of it lies on the disk."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import uuid
from pathlib import Path

import grpc
import numpy as np
import pytest

from maas.type.v1 import media_pb2
from maas.vision.v1 import face_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from tests.failure import failure

SAMPLES = Path(__file__).parents[2] / ".build/samples"
OBAMA = ("obama-portrait.jpg", "obama-speaking.jpg", "obama-standing.jpg")
BIDEN, ASTRONAUT = "biden-standing.jpg", "portrait.png"
SECONDS = 60


def image(name: str) -> media_pb2.Image:
    return media_pb2.Image(content=(SAMPLES / name).read_bytes())


class Faces:
    """One tenant's gallery."""

    def __init__(self, stub: vision_pb2_grpc.VisionServiceStub, tenant: str) -> None:
        self._stub = stub
        self.options = {"timeout": SECONDS, "metadata": [("maas-tenant", tenant)]}

    def enroll(self, name, person_id, request_id=""):
        request = pb.EnrollFaceRequest(image=image(name), person_id=person_id, request_id=request_id)
        return self._stub.EnrollFace(request, **self.options)

    def identify(self, name, **fields):
        return self._stub.IdentifyFace(pb.IdentifyFaceRequest(image=image(name), **fields), **self.options)

    def delete(self, **target):
        return self._stub.DeleteFace(pb.DeleteFaceRequest(**target), **self.options)

    def list(self, **fields):
        return self._stub.ListFaces(pb.ListFacesRequest(**fields), **self.options)

    async def known(self, name) -> list[str]:
        """Whom a picture shows."""
        return [each.face.person_id for each in (await self.identify(name)).candidates]


@pytest.fixture
async def tenants(mesh):
    """Makes galleries that nobody had before."""
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
    async with grpc.aio.insecure_channel(mesh.address, options=options) as channel:
        stub = vision_pb2_grpc.VisionServiceStub(channel)
        yield lambda: Faces(stub, f"test-{secrets.token_hex(8)}")


@pytest.fixture
def faces(tenants):
    return tenants()


async def test_a_person_is_known_again(faces):
    """Another photo of an enrolled person is identified, nearest first; somebody else is not."""
    enrolled = (await faces.enroll(OBAMA[0], "barack")).face
    await faces.enroll(BIDEN, "joe")
    found = await faces.identify(OBAMA[1])
    assert [each.face.person_id for each in found.candidates] == ["barack"]
    assert found.candidates[0].face.face_id == enrolled.face_id
    assert 0 < found.candidates[0].distance <= found.threshold
    assert found.gallery_size == 2
    assert not found.candidates[0].face.embedding
    assert not found.face.embedding
    assert not await faces.known(ASTRONAUT)
    both = (await faces.identify(OBAMA[1], max_distance=2)).candidates
    assert [each.face.person_id for each in both] == ["barack", "joe"]
    assert both[0].distance < both[1].distance


async def test_the_same_request_twice(faces):
    """A call that is repeated with its request_id adds no face."""
    request_id = str(uuid.uuid4())
    first, second = [await faces.enroll(OBAMA[0], "barack", request_id) for _ in range(2)]
    assert first == second
    assert first.request_id == request_id
    assert len((await faces.list()).faces) == 1


async def test_the_list(faces):
    """Faces are listed oldest first, page by page, of one person on request, with vectors only on request."""
    made = [(await faces.enroll(name, "barack")).face.face_id for name in OBAMA]
    other = (await faces.enroll(BIDEN, "joe")).face.face_id
    page = await faces.list(page_size=3)
    rest = await faces.list(page_size=3, page_token=page.next_page_token)
    assert [face.face_id for face in [*page.faces, *rest.faces]] == [*made, other]
    assert not rest.next_page_token
    assert not any(face.embedding for face in page.faces)
    (joe,) = (await faces.list(person_id="joe", include_embeddings=True)).faces
    assert np.linalg.norm(joe.embedding) == pytest.approx(1, abs=1e-5)


async def test_what_is_deleted_is_forgotten(faces):
    """A face, and then all of a person, are gone from identification and list when the answer comes."""
    first = (await faces.enroll(OBAMA[0], "barack")).face.face_id
    await faces.enroll(OBAMA[2], "barack")
    await faces.enroll(BIDEN, "joe")
    assert (await faces.delete(face_id=first)).deleted_count == 1
    assert await faces.known(OBAMA[0]) == ["barack"]
    assert (await faces.delete(person_id="barack")).deleted_count == 1
    assert not await faces.known(OBAMA[0])
    assert [face.person_id for face in (await faces.list()).faces] == ["joe"]
    for target in ({"face_id": first}, {"person_id": "barack"}):
        code, info, *_ = await failure(faces.delete(**target))
        assert code is grpc.StatusCode.NOT_FOUND
        assert info.reason in {"ENROLLED_FACE_NOT_FOUND", "PERSON_NOT_FOUND"}


async def test_tenants_do_not_know_of_each_other(tenants):
    """What one tenant enrolled, another neither finds nor lists nor deletes; nor does the default tenant."""
    mine, theirs, nobody = tenants(), tenants(), tenants()
    nobody.options = {"timeout": SECONDS}
    face_id = (await mine.enroll(OBAMA[0], "barack")).face.face_id
    for other in (theirs, nobody):
        assert face_id not in {each.face.face_id for each in (await other.identify(OBAMA[0])).candidates}
        assert face_id not in {face.face_id for face in (await other.list()).faces}
        code, *_ = await failure(other.delete(face_id=face_id))
        assert code is grpc.StatusCode.NOT_FOUND
    assert len((await mine.list()).faces) == 1


@pytest.mark.parametrize("tenant", ["", "Mine", "my mesh", "a" * 65])
async def test_no_tenant(tenants, tenant):
    """A tenant's name is checked, and the error names the metadata key."""
    faces = tenants()
    faces.options["metadata"] = [("maas-tenant", tenant)]
    code, _, bad, _ = await failure(faces.list())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [(each.field, each.description) for each in bad.field_violations] == [
        ("maas-tenant", "takes one name of 1 to 64 of a-z, 0-9, - and _")
    ]


@pytest.mark.parametrize(
    ("name", "reason"), [("friends-5.jpg", "SEVERAL_FACES"), ("coffee.png", "FACE_NOT_FOUND")], ids=str
)
async def test_no_one_face(faces, name, reason):
    """A group cannot be enrolled under one name, nor can a cup; nothing is kept of them."""
    code, info, *_ = await failure(faces.enroll(name, "group"))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert (info.reason, info.metadata["field"]) == (reason, "image")
    assert not (await faces.list()).faces


@pytest.mark.parametrize("person_id", ["", "ö" * 129], ids=["none", "too long"])
async def test_no_person(faces, person_id):
    """A person has a name of 1 to 256 bytes."""
    code, _, bad, _ = await failure(faces.enroll(BIDEN, person_id))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = bad.field_violations
    assert violation.field == "person_id"
    assert "takes 1 to 256 bytes" in violation.description


async def test_the_gallery_outlives_its_process(mesh, faces, wait_for):
    """After the vision process was killed and started again, who was enrolled is known, and who was deleted is not."""
    await faces.enroll(OBAMA[0], "barack")
    await faces.enroll(BIDEN, "joe")
    await faces.delete(person_id="joe")
    pid = mesh.states()["vision"].pid
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(wait_for, lambda: mesh.is_back("vision", pid), "vision is back")
    assert await faces.known(OBAMA[1]) == ["barack"]
    assert not await faces.known(BIDEN)


async def test_nothing_can_be_read_without_the_key(mesh, faces):
    """Neither the database nor any log has the name of a person or a vector in it; only its owner may read the key."""
    person_id = f"Jane Canary {secrets.token_hex(8)}"
    face_id = (await faces.enroll(ASTRONAUT, person_id)).face.face_id
    assert await faces.known(ASTRONAUT) == [person_id]
    (listed,) = (await faces.list(include_embeddings=True)).faces
    await failure(faces.delete(person_id=f"{person_id}, who is not enrolled"))
    vector = np.array(listed.embedding, np.float32)
    # Any part of it as bytes, and one of its numbers as text, cut where it is rounded.
    traces = [person_id.encode(), vector[:2].tobytes(), vector[:2].astype(np.float64).tobytes()]
    traces.append(f"{vector.min():.7f}"[:-1].encode())
    kept = [path for path in (mesh.run_directory / "gallery").iterdir() if path.name != "faces.key"]
    logs = [path for path in mesh.run_directory.rglob("*.log*") if path.is_file()]
    assert any(face_id.encode() in path.read_bytes() for path in kept)
    found = [path.name for path in [*kept, *logs] for trace in traces if trace in path.read_bytes()]
    assert not found
    assert (mesh.run_directory / "gallery/faces.key").stat().st_mode & 0o077 == 0
