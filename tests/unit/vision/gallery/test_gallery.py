"""The gallery on both kinds of database."""

from __future__ import annotations

import asyncio
import uuid

import numpy as np
import pytest

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.vision.pipelines.faces.gallery import store
from tests.unit.vision.gallery.faces import CARD, KEY, OTHER_KEY, FakeEncoder, vector


def soon() -> Deadline:
    return Deadline.after(60)


async def enroll(gallery, *pictures, tenant="default"):
    """The person's name is the first word of the picture's."""
    return [
        await gallery.enroll(tenant, picture.encode(), person_id=picture.split()[0], request_id="", deadline=soon())
        for picture in pictures
    ]


async def identify(gallery, picture, *, tenant="default", max_results=5, max_distance=0.0):
    found = await gallery.identify(
        tenant, picture.encode(), max_results=max_results, max_distance=max_distance, deadline=soon()
    )
    return [candidate.face.person_id for candidate in found.candidates]


async def listing(gallery, *, tenant="default", person_id="", page_size=100, page_token="", embeddings=False):
    return await gallery.faces(
        tenant,
        person_id=person_id,
        page_size=page_size,
        page_token=page_token,
        embeddings=embeddings,
        deadline=soon(),
    )


async def test_who_is_enrolled_is_known(gallery):
    """A new picture of an enrolled person finds them, with distance, threshold, model and the size of the gallery."""
    enrolled = await enroll(gallery, "ann 1", "bob 1")
    found = await gallery.identify("default", b"bob 2", max_results=5, max_distance=0, deadline=soon())
    assert [candidate.face for candidate in found.candidates] == [enrolled[1]]
    expected = np.linalg.norm(vector("bob 1") - vector("bob 2"))
    assert found.candidates[0].distance == pytest.approx(expected, abs=1e-5)
    assert (found.threshold, found.model, found.gallery_size) == (0.6, "face-model", 2)


async def test_the_vector_of_the_picture_is_not_in_the_answer(gallery):
    """Nobody asked for it."""
    found = await gallery.identify("default", b"ann 1", max_results=5, max_distance=0, deadline=soon())
    assert found.face.embedding is None


async def test_strangers_are_nobody(gallery):
    """Somebody who is not enrolled has no candidates, in an empty gallery too."""
    assert await identify(gallery, "eve 1") == []
    await enroll(gallery, "ann 1")
    assert await identify(gallery, "eve 1") == []


async def test_each_person_is_named_once_and_nearest_first(gallery):
    """Of several faces of a person the nearest counts; max_results bounds persons, not faces."""
    await enroll(gallery, "ann 1", "ann 2", "ann 3", "bob 1", "bob 2", "cem 1")
    everybody = await gallery.identify("default", b"bob 1", max_results=5, max_distance=2, deadline=soon())
    persons = [candidate.face.person_id for candidate in everybody.candidates]
    assert persons[0] == "bob"
    assert sorted(persons) == ["ann", "bob", "cem"]
    distances = [candidate.distance for candidate in everybody.candidates]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert await identify(gallery, "bob 1", max_distance=2, max_results=2) == persons[:2]


async def test_what_is_deleted_is_not_found(gallery):
    """A deleted face is neither identified nor listed, and deleting it again is NOT_FOUND."""
    ann, _ = await enroll(gallery, "ann 1", "bob 1")
    assert await identify(gallery, "ann 2") == ["ann"]
    assert await gallery.delete("default", face_id=ann.face_id, deadline=soon()) == 1
    assert await identify(gallery, "ann 2") == []
    assert [face.person_id for face in (await listing(gallery)).faces] == ["bob"]
    with pytest.raises(errors.NotFound):
        await gallery.delete("default", face_id=ann.face_id, deadline=soon())


async def test_a_person_is_deleted_with_all_faces(gallery):
    """Deleting by name takes every face of that person and says how many."""
    await enroll(gallery, "ann 1", "bob 1", "ann 2")
    assert await gallery.delete("default", person_id="ann", deadline=soon()) == 2
    assert await identify(gallery, "ann 1", max_distance=2) == ["bob"]
    with pytest.raises(errors.NotFound):
        await gallery.delete("default", person_id="ann", deadline=soon())


@pytest.mark.parametrize("face_id", ["", "x", "\0", "é" * 1000, "0b8f4b2e-7d0c-4f0e-9d55-7a1c3f4e2a61"])
async def test_names_that_no_face_has(gallery, face_id):
    """Any face_id that is none is NOT_FOUND, and not repeated in the error."""
    with pytest.raises(errors.NotFound) as caught:
        await gallery.delete("default", face_id=face_id, deadline=soon())
    assert "has no face of that name" in caught.value.message


async def test_tenants_are_apart(gallery):
    """What one tenant enrols, another neither finds nor lists nor deletes."""
    (ann,) = await enroll(gallery, "ann 1", tenant="red")
    assert await identify(gallery, "ann 1", tenant="blue") == []
    assert (await listing(gallery, tenant="blue")).faces == []
    with pytest.raises(errors.NotFound):
        await gallery.delete("blue", face_id=ann.face_id, deadline=soon())
    assert await identify(gallery, "ann 1", tenant="red") == ["ann"]


async def test_a_repeated_request_adds_nothing(gallery):
    """The same request_id, in any spelling, gives the same face; after its deletion it enrols anew."""
    name = str(uuid.uuid4())

    async def again(request_id):
        return await gallery.enroll("default", b"ann 1", person_id="ann", request_id=request_id, deadline=soon())

    first = await again(name)
    assert await again(name.upper()) == first
    assert len((await listing(gallery)).faces) == 1
    together = await asyncio.gather(*(again(str(uuid.UUID(int=5))) for _ in range(8)))
    assert len({face.face_id for face in together}) == 1
    await gallery.delete("default", face_id=first.face_id, deadline=soon())
    assert (await again(name)).face_id != first.face_id


async def test_a_full_gallery_takes_no_more(opened):
    """The face too many is refused with the reason GALLERY_FULL and the limit; deleting makes room."""
    async with opened(max_faces=2) as gallery:
        ann, _ = await enroll(gallery, "ann 1", "bob 1")
        with pytest.raises(errors.Exhausted) as caught:
            await enroll(gallery, "cem 1")
        assert (caught.value.reason, caught.value.metadata) == ("GALLERY_FULL", {"limit": "2"})
        await enroll(gallery, "cem 1", tenant="other")
        await gallery.delete("default", face_id=ann.face_id, deadline=soon())
        await enroll(gallery, "cem 1")


async def test_pages(gallery):
    """Pages go by time of enrolment, hold page_size faces, and the last has no token; one person's too."""
    faces = await enroll(gallery, "ann 1", "bob 1", "ann 2", "ann 3")
    first = await listing(gallery, page_size=3)
    assert first.faces == faces[:3]
    rest = await listing(gallery, page_size=3, page_token=first.next_page_token)
    assert (rest.faces, rest.next_page_token) == (faces[3:], "")
    assert (await listing(gallery, page_size=4)).next_page_token == ""
    anns = await listing(gallery, person_id="ann", page_size=2)
    assert anns.faces == [faces[0], faces[2]]
    more = await listing(gallery, person_id="ann", page_size=2, page_token=anns.next_page_token)
    assert more.faces == [faces[3]]


async def test_page_tokens_cannot_be_made_up(gallery):
    """A token for another tenant or person, a changed one and a made-up one are INVALID_ARGUMENT."""
    await enroll(gallery, "ann 1", "ann 2")
    token = (await listing(gallery, page_size=1)).next_page_token
    changed = ("B" if token[0] == "A" else "A") + token[1:]
    for strange in ({"tenant": "other"}, {"person_id": "ann"}, {"page_token": changed}, {"page_token": "é"}):
        with pytest.raises(errors.InvalidArgument) as caught:
            await listing(gallery, **{"page_token": token} | strange)
        assert caught.value.violations[0].field == "page_token"


async def test_vectors_are_listed_when_asked_for(gallery):
    """The vector comes back as it was enrolled, and only on request."""
    await enroll(gallery, "ann 1")
    assert (await listing(gallery)).faces[0].embedding is None
    listed = await listing(gallery, embeddings=True)
    np.testing.assert_array_equal(listed.faces[0].embedding, vector("ann 1"))


async def test_faces_of_another_model_are_not_compared(opened):
    """A vector is compared with those of its own model only; the others are still listed and deleted."""
    other = FakeEncoder(CARD.model_copy(update={"name": "other-model"}))
    async with opened() as gallery, opened(encoder=other) as later:
        await enroll(gallery, "ann 1")
        assert await identify(later, "ann 1") == []
        await enroll(later, "ann 2")
        assert [face.model for face in (await listing(later)).faces] == ["face-model", "other-model"]
        assert await gallery.delete("default", person_id="ann", deadline=soon()) == 2


async def test_what_one_replica_does_the_other_knows(opened):
    """With two services on one database each finds what the other enrolled, and nothing that the other deleted."""
    async with opened() as one, opened() as two:
        ann, _ = await enroll(one, "ann 1", "bob 1")
        assert await identify(two, "ann 2") == ["ann"]
        await enroll(two, "cem 1")
        assert await identify(one, "cem 2") == ["cem"]
        await one.delete("default", face_id=ann.face_id, deadline=soon())
        assert await identify(two, "ann 2") == []
        await two.delete("default", person_id="bob", deadline=soon())
        assert await identify(one, "bob 2") == []
        assert await identify(one, "cem 2") == ["cem"]


async def test_a_replica_far_behind_reads_everything_anew(opened, monkeypatch):
    """Deletions are listed for a while only; who missed some forgets the faces all the same."""
    monkeypatch.setattr(store, "MAX_DELETIONS_LISTED", 2)
    async with opened() as one, opened() as two:
        faces = await enroll(one, "ann 1", "bob 1", "cem 1", "dan 1", "eli 1", "fay 1")
        assert await identify(two, "ann 2") == ["ann"]
        for face in faces[:5]:
            await one.delete("default", face_id=face.face_id, deadline=soon())
        seen = [await identify(two, f"{name} 2") for name in ("ann", "bob", "cem", "dan", "eli", "fay")]
        assert seen == [[], [], [], [], [], ["fay"]]


async def test_a_restart_loses_nothing(opened):
    """Faces outlive the service, and opening the database again changes nothing in it."""
    async with opened() as gallery:
        enrolled = await enroll(gallery, "ann 1", "bob 1")
    async with opened() as gallery:
        assert (await listing(gallery)).faces == enrolled
        assert await identify(gallery, "ann 2") == ["ann"]


async def test_services_that_start_together_make_the_tables_once(opened):
    """The migration is done by one of them; the others find it done."""
    async with opened() as one, opened() as two, opened() as three:
        found = await asyncio.gather(*(identify(gallery, "ann 1") for gallery in (one, two, three)))
    assert found == [[], [], []]


async def test_keys_are_rotated(opened):
    """After a new key came first, old faces are still known, counted with their person, and deleted by name."""
    request_id = str(uuid.uuid4())
    async with opened() as gallery:
        old = await gallery.enroll("default", b"ann 1", person_id="ann", request_id=request_id, deadline=soon())
        token = (await listing(gallery, page_size=1)).next_page_token
    async with opened(keys=[OTHER_KEY, KEY]) as gallery:
        again = await gallery.enroll("default", b"ann 1", person_id="ann", request_id=request_id, deadline=soon())
        assert again == old
        await enroll(gallery, "ann 2")
        assert await identify(gallery, "ann 3", max_distance=2) == ["ann"]
        assert len((await listing(gallery, person_id="ann", page_token=token)).faces) == 2
        assert await gallery.delete("default", person_id="ann", deadline=soon()) == 2
        await enroll(gallery, "bob 1")
    async with opened() as gallery:
        with pytest.raises(errors.FailedPrecondition) as caught:
            await listing(gallery)
        assert caught.value.reason == "GALLERY_KEY_UNKNOWN"


async def test_galleries_in_memory_are_bounded(opened):
    """The tenant used longest ago leaves, and is loaded again when it is asked for."""
    async with opened(max_faces_in_memory=2000) as gallery:
        for tenant in ("a", "b", "c"):
            await enroll(gallery, "ann 1", tenant=tenant)
            assert await identify(gallery, "ann 2", tenant=tenant) == ["ann"]
        assert [tenant for tenant, _ in gallery._replica.held] == ["b", "c"]
        assert await identify(gallery, "ann 2", tenant="a") == ["ann"]
        assert [tenant for tenant, _ in gallery._replica.held] == ["c", "a"]


async def test_what_is_shown_of_a_face_is_no_secret(gallery):
    """Neither a vector nor a name stands in the repr of what the gallery gives."""
    await enroll(gallery, "annabella 1")
    page = await listing(gallery, embeddings=True)
    found = await gallery.identify("default", b"annabella 2", max_results=5, max_distance=0, deadline=soon())
    rows = await gallery._store.page("default", after=0, limit=10)
    for shown in map(repr, (page, found, rows)):
        assert "annabella" not in shown
        assert "embedding=array" not in shown
        assert repr(rows[0].vector)[2:20] not in shown


async def test_time_that_is_over(gallery):
    """No work begins after the deadline."""
    late = Deadline.after(0)
    with pytest.raises(errors.DeadlineExceeded):
        await gallery.enroll("default", b"ann 1", person_id="ann", request_id="", deadline=late)
    with pytest.raises(errors.DeadlineExceeded):
        await gallery.delete("default", person_id="ann", deadline=late)
    assert (await listing(gallery)).faces == []
