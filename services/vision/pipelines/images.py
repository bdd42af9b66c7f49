"""All that is done with single pictures."""

from __future__ import annotations

from dataclasses import dataclass

from services.mesh.models import Models
from services.mesh.ports import Inference, Preprocessor
from services.vision.pipelines.annotate import ImageAnnotator
from services.vision.pipelines.classify import ImageClassifier
from services.vision.pipelines.detect import ObjectDetector
from services.vision.pipelines.embed import ImageEmbedder
from services.vision.pipelines.faces.find import FaceFinder
from services.vision.pipelines.pose import PoseEstimator
from services.vision.pipelines.read import TextReader
from services.vision.pipelines.redact import Redactor
from services.vision.pipelines.safety import SafetyAssessor
from services.vision.pipelines.segment import PersonSegmenter
from services.vision.pipelines.tiling import TiledDetector


@dataclass(frozen=True, slots=True)
class ImagePipelines:
    """One of each, sharing what they stand on."""

    models: Models
    annotator: ImageAnnotator
    classifier: ImageClassifier
    embedder: ImageEmbedder
    detector: ObjectDetector
    tiled_detector: TiledDetector
    faces: FaceFinder
    reader: TextReader
    safety: SafetyAssessor
    poses: PoseEstimator
    segmenter: PersonSegmenter
    redactor: Redactor

    @classmethod
    def over(cls, inference: Inference, preprocessor: Preprocessor, models: Models) -> ImagePipelines:
        """On these adapters."""
        detector = ObjectDetector(inference)
        faces = FaceFinder(inference, models)
        reader = TextReader(inference)
        return cls(
            models=models,
            annotator=ImageAnnotator(preprocessor),
            classifier=ImageClassifier(inference),
            embedder=ImageEmbedder(inference),
            detector=detector,
            tiled_detector=TiledDetector(detector, preprocessor),
            faces=faces,
            reader=reader,
            safety=SafetyAssessor(inference),
            poses=PoseEstimator(inference, detector),
            segmenter=PersonSegmenter(inference),
            redactor=Redactor(preprocessor, models, faces, reader),
        )
