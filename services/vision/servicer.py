"""VisionService: decodes, delegates, encodes."""

from __future__ import annotations

from maas.type.v1 import media_pb2
from maas.vision.v1 import vision_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from services.mesh.interceptors import Context
from services.mesh.models import Models
from services.mesh.request import fraction, limited, media, request_id
from services.mesh.server import budget
from services.vision.pipelines.classify import ImageClassifier, Label
from services.vision.pipelines.detect import Detection, ObjectDetector


class VisionServicer(vision_pb2_grpc.VisionServiceServicer):
    """The RPCs of vision."""

    def __init__(self, classifier: ImageClassifier, detector: ObjectDetector, models: Models) -> None:
        self._classifier = classifier
        self._detector = detector
        self._models = models

    async def ClassifyImage(self, request: pb.ClassifyImageRequest, context: Context) -> pb.ClassifyImageResponse:
        """What a picture shows as a whole."""
        echo = request_id(request)
        card = self._models.pick("image-classification", request.model)
        labels = await self._classifier.classify(
            media("image", request.image),
            card,
            max_results=limited("max_results", request.max_results, default=5, low=1, high=1000),
            min_score=fraction("min_score", request.min_score, default=0),
            deadline=budget(context),
        )
        return pb.ClassifyImageResponse(labels=[_label(label) for label in labels], model=card.name, request_id=echo)

    async def DetectObjects(self, request: pb.DetectObjectsRequest, context: Context) -> pb.DetectObjectsResponse:
        """What is where on a picture."""
        echo = request_id(request)
        card = self._models.pick("object-detection", request.model)
        found = await self._detector.detect(
            media("image", request.image),
            card,
            max_results=limited("max_results", request.max_results, default=20, low=1, high=100),
            min_score=fraction("min_score", request.min_score, default=0.5),
            deadline=budget(context),
        )
        return pb.DetectObjectsResponse(
            objects=[_object(each) for each in found.objects],
            image_width=found.image_width,
            image_height=found.image_height,
            model=card.name,
            request_id=echo,
        )

    async def GetVisionConfig(self, request: pb.GetVisionConfigRequest, context: Context) -> pb.GetVisionConfigResponse:
        """The models that are ready."""
        return pb.GetVisionConfigResponse(models=[card.to_proto() for card in self._models.listing()])


def _label(label: Label) -> pb.Label:
    return pb.Label(name=label.name, score=label.score, index=label.index)


def _object(found: Detection) -> pb.DetectedObject:
    box = found.box
    return pb.DetectedObject(
        name=found.name,
        score=found.score,
        bounding_box=media_pb2.BoundingBox(x_min=box.x_min, y_min=box.y_min, x_max=box.x_max, y_max=box.y_max),
    )
