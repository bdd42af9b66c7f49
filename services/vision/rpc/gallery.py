"""EnrollFace, IdentifyFace, DeleteFace and ListFaces: the gallery of one tenant."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from maas.vision.v1 import face_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from services.mesh import errors, tenant
from services.mesh.call import Context
from services.mesh.media import media_bytes
from services.mesh.ports import Preprocessor
from services.mesh.request import limited, request_id
from services.mesh.server import budget
from services.vision.pipelines.faces.gallery.gallery import EnrolledFace, Gallery
from services.vision.rpc.faces import face_to_proto, largest_distance

DEFAULT_TENANT = "default"
_MAX_PERSON_BYTES = 256


class GalleryRpcs(vision_pb2_grpc.VisionServiceServicer):
    """The RPCs that know faces again."""

    # None when the operator gave no key.
    _gallery: Gallery | None
    _preprocessor: Preprocessor

    async def EnrollFace(self, request: pb.EnrollFaceRequest, context: Context) -> pb.EnrollFaceResponse:
        """A face into the gallery."""
        echo, gallery, owner, deadline = request_id(request), self._opened(), _tenant(context), budget(context)
        face = await gallery.enroll(
            owner,
            await media_bytes("image", request.image, self._preprocessor, deadline),
            person_id=_person(request.person_id),
            request_id=echo,
            deadline=deadline,
        )
        return pb.EnrollFaceResponse(face=_enrolled(face), request_id=echo)

    async def IdentifyFace(self, request: pb.IdentifyFaceRequest, context: Context) -> pb.IdentifyFaceResponse:
        """Whose face it may be."""
        echo, gallery, owner, deadline = request_id(request), self._opened(), _tenant(context), budget(context)
        most = limited("max_results", request.max_results, default=5, low=1, high=100)
        farthest = largest_distance("max_distance", request.max_distance)
        content = await media_bytes("image", request.image, self._preprocessor, deadline)
        found = await gallery.identify(owner, content, max_results=most, max_distance=farthest, deadline=deadline)
        return pb.IdentifyFaceResponse(
            candidates=[pb.FaceCandidate(face=_enrolled(one.face), distance=one.distance) for one in found.candidates],
            face=face_to_proto(found.face),
            threshold=found.threshold,
            gallery_size=found.gallery_size,
            model=found.model,
            request_id=echo,
        )

    async def DeleteFace(self, request: pb.DeleteFaceRequest, context: Context) -> pb.DeleteFaceResponse:
        """A face, or a person, out of the gallery."""
        echo, gallery, owner = request_id(request), self._opened(), _tenant(context)
        target = request.WhichOneof("target")
        if target is None:
            raise errors.InvalidArgument.field("face_id", "is required, or a person_id instead")
        person_id = _person(request.person_id) if target == "person_id" else ""
        count = await gallery.delete(owner, face_id=request.face_id, person_id=person_id, deadline=budget(context))
        return pb.DeleteFaceResponse(deleted_count=count, request_id=echo)

    async def ListFaces(self, request: pb.ListFacesRequest, context: Context) -> pb.ListFacesResponse:
        """Who is in the gallery."""
        gallery, owner = self._opened(), _tenant(context)
        page = await gallery.faces(
            owner,
            person_id=_person(request.person_id) if request.person_id else "",
            page_size=limited("page_size", request.page_size, default=100, low=1, high=1000),
            page_token=request.page_token,
            embeddings=request.include_embeddings,
            deadline=budget(context),
        )
        return pb.ListFacesResponse(
            faces=[_enrolled(face) for face in page.faces], next_page_token=page.next_page_token
        )

    def _opened(self) -> Gallery:
        if self._gallery is None:
            raise errors.FailedPrecondition(
                "the operator has given the gallery of faces no key to encrypt it with", reason="GALLERY_DISABLED"
            )
        return self._gallery


def _tenant(context: Context) -> str:
    """Whose gallery a call is about. Raises InvalidArgument."""
    named = [value for key, value in context.invocation_metadata() or () if key == tenant.KEY]
    if not named:
        return DEFAULT_TENANT
    name = named[0]
    if len(named) > 1 or not isinstance(name, str) or not tenant.NAME.fullmatch(name):
        raise errors.InvalidArgument.field(tenant.KEY, "takes one name of 1 to 64 of a-z, 0-9, - and _")
    return name


def _person(person_id: str) -> str:
    size = len(person_id.encode())
    if not 1 <= size <= _MAX_PERSON_BYTES:
        raise errors.InvalidArgument.field("person_id", f"takes 1 to {_MAX_PERSON_BYTES} bytes of UTF-8, got {size}")
    return person_id


def _enrolled(face: EnrolledFace) -> pb.EnrolledFace:
    created = Timestamp()
    created.FromDatetime(face.create_time)
    return pb.EnrolledFace(
        face_id=face.face_id,
        person_id=face.person_id,
        create_time=created,
        model=face.model,
        embedding=[] if face.embedding is None else face.embedding.tolist(),
    )
