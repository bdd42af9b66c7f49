"""DetectFaces and VerifyFace."""

from __future__ import annotations

from maas.vision.v1 import face_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.media import media_bytes
from services.mesh.ports import Preprocessor
from services.mesh.request import request_id
from services.mesh.server import budget
from services.mesh.together import together
from services.vision.pipelines.faces.face import Face
from services.vision.pipelines.faces.verify import FaceVerifier
from services.vision.pipelines.images import ImagePipelines
from services.vision.rpc import features, results

# Of two vectors of length 1.
_LARGEST_DISTANCE = 2


class FaceRpcs(vision_pb2_grpc.VisionServiceServicer):
    """The RPCs that find faces and compare them, and keep nothing."""

    _images: ImagePipelines
    _preprocessor: Preprocessor
    _verifier: FaceVerifier

    async def DetectFaces(self, request: pb.DetectFacesRequest, context: Context) -> pb.DetectFacesResponse:
        """Where faces are, and what can be told of them."""
        echo, deadline = request_id(request), budget(context)
        feature = features.faces(self._images, request, features.attributes("attributes", request.attributes))
        content = await media_bytes("image", request.image, self._preprocessor, deadline)
        found = await self._images.annotator.find(content, feature, deadline)
        return pb.DetectFacesResponse(
            faces=map(face_to_proto, found.faces),
            image_width=found.image_width,
            image_height=found.image_height,
            model=feature.card.name,
            request_id=echo,
        )

    async def VerifyFace(self, request: pb.VerifyFaceRequest, context: Context) -> pb.VerifyFaceResponse:
        """Whether two pictures show one person."""
        echo, deadline = request_id(request), budget(context)
        most = largest_distance("max_distance", request.max_distance)
        images = (("image", request.image), ("other_image", request.other_image))
        content, other = await together(
            media_bytes(field, image, self._preprocessor, deadline) for field, image in images
        )
        found = await self._verifier.verify(content, other, model=request.model, max_distance=most, deadline=deadline)
        return pb.VerifyFaceResponse(
            same_person=found.same_person,
            distance=found.distance,
            threshold=found.threshold,
            face=face_to_proto(found.face),
            other_face=face_to_proto(found.other_face),
            model=found.model,
            request_id=echo,
        )


def largest_distance(field: str, value: float) -> float:
    """A distance of a request, 0 meaning the measured one. Raises InvalidArgument outside 0 to 2, NaN included."""
    if not 0 <= value <= _LARGEST_DISTANCE:
        raise errors.InvalidArgument.field(field, f"takes 0 to {_LARGEST_DISTANCE}, got {value:g}")
    return value


def face_to_proto(face: Face) -> pb.Face:
    """A face with all that is known of it, its vector included: leave that out of `face` where nobody asked for it."""
    left_eye, right_eye, nose, mouth_left, mouth_right = map(results.point, face.landmarks.tolist())
    return pb.Face(
        bounding_box=results.box(face.box),
        score=face.score,
        landmarks=pb.FaceLandmarks(
            left_eye=left_eye, right_eye=right_eye, nose=nose, mouth_left=mouth_left, mouth_right=mouth_right
        ),
        age_years=face.age_years,
        expressions=[pb.FaceExpression(name=name, score=score) for name, score in face.expressions],
        embedding=() if face.embedding is None else face.embedding.tolist(),
        embedding_model=face.embedding_model,
    )
