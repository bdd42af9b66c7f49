"""What the pipelines found on pictures, as the contract has it."""

from __future__ import annotations

from collections.abc import Sequence

from maas.type.v1 import media_pb2
from maas.vision.v1 import image_pb2, redaction_pb2
from maas.vision.v1 import vision_pb2 as pb
from services.mesh.ports import Region
from services.vision.pipelines.classify import Label
from services.vision.pipelines.detect import Detection
from services.vision.pipelines.pose import Pose
from services.vision.pipelines.read import TextLine
from services.vision.pipelines.redact import CoveredPlace
from services.vision.pipelines.safety import Safety
from services.vision.pipelines.segment import PersonMask

# COCO's order is the contract's.
_BODY_PARTS = [part for part in image_pb2.BodyPart.values() if part != image_pb2.BODY_PART_UNSPECIFIED]


def box(region: Region) -> media_pb2.BoundingBox:
    """A rectangle."""
    return media_pb2.BoundingBox(x_min=region.x_min, y_min=region.y_min, x_max=region.x_max, y_max=region.y_max)


def point(place: Sequence[float]) -> media_pb2.Point:
    """A place: x, y and what may follow."""
    return media_pb2.Point(x=place[0], y=place[1])


def label(found: Label) -> pb.Label:
    """A class."""
    return pb.Label(name=found.name, score=found.score, index=found.index, label_id=found.label_id)


def detected_object(found: Detection) -> pb.DetectedObject:
    """A thing."""
    return pb.DetectedObject(name=found.name, score=found.score, bounding_box=box(found.box))


def text_line(found: TextLine) -> image_pb2.TextLine:
    """A line of writing."""
    return image_pb2.TextLine(
        text=found.text,
        score=found.score,
        corners=map(point, found.corners),
        bounding_box=box(found.box),
        orientation_degrees=found.orientation_degrees,
    )


def safety(found: Safety) -> image_pb2.SafetyAssessment:
    """Whether a picture is safe for work."""
    return image_pb2.SafetyAssessment(unsafe_score=found.unsafe_score)


def pose(found: Pose) -> image_pb2.Pose:
    """A posture."""
    return image_pb2.Pose(
        keypoints=[
            image_pb2.Keypoint(body_part=part, position=point(keypoint), score=keypoint[2])
            for part, keypoint in zip(_BODY_PARTS, found.keypoints.tolist(), strict=True)
        ],
        score=found.score,
        bounding_box=box(found.box),
    )


def person_mask(found: PersonMask) -> image_pb2.PersonMask:
    """Where there are people."""
    return image_pb2.PersonMask(png=found.png, width=found.width, height=found.height, coverage=found.coverage)


def redacted_region(place: CoveredPlace) -> redaction_pb2.RedactedRegion:
    """A place that was covered."""
    return redaction_pb2.RedactedRegion(bounding_box=box(place.box), kind=place.kind)
