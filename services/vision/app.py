"""The composition root: which adapters the pipelines get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from maas.vision.v1 import vision_pb2_grpc
from services.mesh.backends import open_backends
from services.mesh.models import Models
from services.mesh.ports import Inference, Preprocessor
from services.mesh.server import Servicer
from services.preprocessing.access import open_preprocessor
from services.vision.pipelines.faces.encode import FaceEncoder
from services.vision.pipelines.faces.find import FaceFinder
from services.vision.pipelines.faces.gallery.gallery import Gallery, open_gallery
from services.vision.pipelines.faces.verify import FaceVerifier
from services.vision.pipelines.images import ImagePipelines
from services.vision.pipelines.video.annotate import VideoAnnotator
from services.vision.servicer import VisionServicer
from services.vision.settings import Settings

SERVICE = "maas.vision.v1.VisionService"
TASKS = ("image-classification", "object-detection")
OPTIONAL_TASKS = (
    "face-age",
    "face-detection",
    "face-embedding",
    "face-expression",
    "image-embedding",
    "image-safety",
    "person-segmentation",
    "pose-estimation",
    "text-recognition",
)


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The service with its connections to Triton, preprocessing and the gallery's database."""
    async with (
        open_backends(settings, open_preprocessor(settings), TASKS, OPTIONAL_TASKS) as (
            inference,
            preprocessor,
            models,
        ),
        _open_gallery(settings, FaceEncoder(preprocessor, FaceFinder(inference, models), models)) as gallery,
    ):
        yield [servicer(inference, preprocessor, models, gallery)]


def servicer(
    inference: Inference, preprocessor: Preprocessor, models: Models, gallery: Gallery | None = None
) -> Servicer:
    """The service on any adapters. gallery: None where there is none."""
    images = ImagePipelines.over(inference, preprocessor, models)
    implementation = VisionServicer(
        preprocessor,
        images,
        FaceVerifier(FaceEncoder(preprocessor, images.faces, models)),
        VideoAnnotator(preprocessor, images),
        gallery,
    )
    return Servicer(SERVICE, vision_pb2_grpc.add_VisionServiceServicer_to_server, implementation, models.ready)


def _open_gallery(settings: Settings, encoder: FaceEncoder) -> AbstractAsyncContextManager[Gallery | None]:
    url = settings.gallery_url.get_secret_value()
    if not url:
        return nullcontext()
    return open_gallery(
        url,
        settings.gallery_keys,
        encoder,
        max_faces=settings.gallery_max_faces,
        max_faces_in_memory=settings.gallery_max_faces_in_memory,
        threads=settings.gallery_threads,
    )
