"""VisionService: decodes, delegates, encodes. Its RPCs stand in services/vision/rpc, one module an area."""

from __future__ import annotations

from maas.vision.v1 import vision_pb2 as pb
from services.mesh.call import Context
from services.mesh.ports import Preprocessor
from services.vision.pipelines.faces.gallery.gallery import Gallery
from services.vision.pipelines.faces.verify import FaceVerifier
from services.vision.pipelines.images import ImagePipelines
from services.vision.pipelines.video.annotate import VideoAnnotator
from services.vision.rpc.annotation import AnnotationRpcs
from services.vision.rpc.faces import FaceRpcs
from services.vision.rpc.gallery import GalleryRpcs
from services.vision.rpc.images import ImageRpcs
from services.vision.rpc.video import VideoRpcs


class VisionServicer(ImageRpcs, FaceRpcs, GalleryRpcs, AnnotationRpcs, VideoRpcs):
    """The RPCs of vision."""

    def __init__(
        self,
        preprocessor: Preprocessor,
        images: ImagePipelines,
        verifier: FaceVerifier,
        videos: VideoAnnotator,
        gallery: Gallery | None,
    ) -> None:
        self._preprocessor = preprocessor
        self._images = images
        self._verifier = verifier
        self._videos = videos
        self._gallery = gallery

    async def GetVisionConfig(self, request: pb.GetVisionConfigRequest, context: Context) -> pb.GetVisionConfigResponse:
        """The models that are ready."""
        return pb.GetVisionConfigResponse(models=[card.to_proto() for card in self._images.models.listing()])
