"""The RPCs about single pictures over a real socket, with faked ports and small models."""

import json
from contextlib import asynccontextmanager

import numpy as np

from maas.type.v1 import media_pb2
from maas.vision.v1 import vision_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from services.mesh.models import ModelCard
from services.mesh.server import Servicer
from services.mesh.testing import FakeInference, FakePreprocessor, known_models, serve
from services.vision.pipelines.images import ImagePipelines
from services.vision.rpc.annotation import AnnotationRpcs
from services.vision.rpc.images import ImageRpcs

CLASSIFIER = ModelCard(
    name="classifier",
    task="image-classification",
    other_tasks=("image-embedding",),
    summary="Classifies.",
    default=True,
    labels=("cat", "dog", "cup"),
    label_ids=("n1", "n2", "n3"),
    preprocess={"width": 8, "height": 4, "fit": "cover", "crop_fraction": 0.875},
)
DIGITS = ModelCard(
    name="digits",
    task="image-classification",
    summary="Classifies.",
    labels=("0", "1", "2"),
    preprocess={"width": 4, "height": 4, "fit": "contain"},
)
DETECTOR = ModelCard(
    name="detector",
    task="object-detection",
    summary="Detects.",
    max_batch_size=4,
    labels=("person", "dog"),
    preprocess={"width": 6, "height": 6, "fit": "contain"},
)
FACES = ModelCard(
    name="faces",
    task="face-detection",
    summary="Finds.",
    preprocess={"width": 64, "height": 64, "fit": "inside"},
)
READER = ModelCard(
    name="reader",
    task="text-recognition",
    summary="Reads.",
    preprocess={"width": 128, "height": 96, "fit": "inside"},
)
SAFETY = ModelCard(
    name="safety",
    task="image-safety",
    summary="Judges.",
    labels=("safe", "unsafe"),
    preprocess={"width": 5, "height": 5, "fit": "stretch"},
)
POSE = ModelCard(
    name="pose",
    task="pose-estimation",
    summary="Bends.",
    max_batch_size=2,
    preprocess={"width": 12, "height": 12, "fit": "contain"},
)
MASK = ModelCard(
    name="mask",
    task="person-segmentation",
    summary="Cuts.",
    preprocess={"width": 16, "height": 16, "fit": "stretch"},
)
CARDS = (CLASSIFIER, DIGITS, DETECTOR, FACES, READER, SAFETY, POSE, MASK)
IMAGE = media_pb2.Image(content=b"a picture")
REQUEST_ID = "8f14e45f-ceea-467f-a0e6-2ad52f0e1b1c"


def line(text, box, score=0.95):
    """A line as the model writes it, upright, its box as x_min, y_min, x_max, y_max."""
    left, top, right, bottom = box
    return {"text": text, "score": score, "corners": [[left, top], [right, top], [right, bottom], [left, bottom]]}


def lines(*given):
    """What the model that reads answers."""
    return {"lines": np.array([json.dumps(given).encode()], object)}


def answer(model, inputs):
    """A dog; two dogs on top of each other beside a weak person; a face; two lines; people to the left."""
    rows = len(inputs["images"])
    answers = {
        "classifier": {"scores": np.float32([[0.2, 0.7, 0.1]]), "features": np.float32([[3, 0, 4]])},
        "digits": {"scores": np.float32([[0.9, 0.1, 0]])},
        "detector": {
            "boxes": np.float32([[[0, 0, 0.5, 0.5], [0.01, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]]),
            "scores": np.float32([[0.9, 0.8, 0.6]]),
            "classes": np.int64([[1, 1, 0]]),
        },
        "faces": {
            "boxes": np.float32([[[0.25, 0.25, 0.75, 0.5]]]),
            "scores": np.float32([[0.9]]),
            "landmarks": np.full((1, 1, 5, 2), 0.5, np.float32),
        },
        "safety": {"scores": np.float32([[0.75, 0.25]])},
        "pose": {"keypoints": np.tile(np.float32([0.5, 0.25, 0.5]), (1, 17, 1))},
        "mask": {"mask": np.tile(np.float32([[1, 1, 0, 0]]), (1, 4, 1))},
    }
    if model == "reader":
        return lines(line("below", (0.1, 0.5, 0.5, 0.6)), line("above", (0.1, 0.1, 0.5, 0.2), score=0.5))
    return {name: np.repeat(array, rows, axis=0) for name, array in answers[model].items()}


class Only(ImageRpcs, AnnotationRpcs):
    """The RPCs about single pictures and no others."""

    def __init__(self, images, preprocessor):
        self._images = images
        self._preprocessor = preprocessor


@asynccontextmanager
async def pictures(answer=answer, *, cards=CARDS, preprocessor=None, inference=None, loading=(), optional_tasks=()):
    """A stub of the service, and the inference that it uses."""
    inference = inference or FakeInference(answer)
    preprocessor = preprocessor or FakePreprocessor()
    models = await known_models(*cards, loading=loading, optional_tasks=optional_tasks)
    rpcs = Only(ImagePipelines.over(inference, preprocessor, models), preprocessor)
    served = Servicer("maas.vision.v1.VisionService", vision_pb2_grpc.add_VisionServiceServicer_to_server, rpcs)
    async with serve(served) as channel:
        yield vision_pb2_grpc.VisionServiceStub(channel), inference


def wanted(*features, **fields):
    """Features, all with the same choices."""
    return [pb.ImageFeatureRequest(feature=feature, **fields) for feature in features]


async def annotated(*features, answer=answer, preprocessor=None, cards=CARDS, **fields):
    """What is found on one picture, and the preprocessor that was used."""
    preprocessor = preprocessor or FakePreprocessor()
    async with pictures(answer, preprocessor=preprocessor, cards=cards, **fields) as (stub, _):
        response = await stub.AnnotateImage(pb.AnnotateImageRequest(image=IMAGE, features=features))
    return response.annotation, preprocessor
