"""What was found on pictures, as tables; places in pixels of the upright picture."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from maas.type.v1.media_pb2 import BoundingBox
from maas.vision.v1 import face_pb2, image_pb2, redaction_pb2
from maas.vision.v1 import vision_pb2 as pb
from services.cli.output import bar, table

_PLACE = ("left", "top", "right", "bottom")
# Of a keypoint: below it is a guess.
SURE = 0.3


def labels(found: Iterable[pb.Label]) -> Table:
    """A line a label, best first."""
    made = table("score", "", "label", "id", right="score")
    for label in found:
        made.add_row(f"{label.score:.2f}", bar(label.score), label.name, label.label_id)
    return made


def objects(found: Iterable[pb.DetectedObject], width: int, height: int) -> Table:
    """A line an object, best first."""
    made = table("score", "", "object", *_PLACE, right=f"score {' '.join(_PLACE)}")
    for each in found:
        made.add_row(f"{each.score:.2f}", bar(each.score), each.name, *place(each.bounding_box, width, height))
    return made


def faces(found: Iterable[face_pb2.Face], width: int, height: int) -> Table:
    """A line a face, best first, with what was asked for."""
    made = table("score", "", *_PLACE, "age", "expression", "vector", right=f"score {' '.join(_PLACE)} age")
    for each in found:
        made.add_row(
            f"{each.score:.2f}",
            bar(each.score),
            *place(each.bounding_box, width, height),
            f"{each.age_years:.0f}" if each.HasField("age_years") else "",
            f"{each.expressions[0].name} {each.expressions[0].score:.2f}" if each.expressions else "",
            f"{len(each.embedding)} numbers" if each.embedding else "",
        )
    return made


def text_lines(found: Iterable[image_pb2.TextLine], width: int, height: int) -> Table:
    """A line a line of writing, in reading order."""
    made = table("score", *_PLACE, "turned", "text", right=f"score {' '.join(_PLACE)} turned")
    for each in found:
        turned = f"{each.orientation_degrees:.0f}°"
        made.add_row(f"{each.score:.2f}", *place(each.bounding_box, width, height), turned, each.text)
    return made


def poses(found: Iterable[image_pb2.Pose]) -> Table:
    """A line a person: how many points are sure, and which."""
    made = table("score", "", "points", "which", right="score points")
    for each in found:
        sure = [point for point in each.keypoints if point.score >= SURE]
        names = ", ".join(part_name(point.body_part) for point in sure)
        made.add_row(f"{each.score:.2f}", bar(each.score), f"{len(sure)} of {len(each.keypoints)}", names)
    return made


def redacted(found: Iterable[redaction_pb2.RedactedRegion]) -> str:
    """How many places were covered, by kind."""
    kinds = [each.kind for each in found]
    counts = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    return f"covered {', '.join(counts)}" if counts else "covered nothing: nothing was found"


def annotation(found: pb.ImageAnnotation) -> RenderableType:
    """Everything that was found on one picture, feature by feature."""
    width, height = found.image_width, found.image_height
    names = {each.feature: each.model for each in found.models}
    parts: list[RenderableType] = []
    shown: list[tuple[pb.ImageFeature.ValueType, RenderableType]] = [
        (pb.IMAGE_FEATURE_LABELS, labels(found.labels)),
        (pb.IMAGE_FEATURE_OBJECTS, objects(found.objects, width, height)),
        (pb.IMAGE_FEATURE_FACES, faces(found.faces, width, height)),
        (pb.IMAGE_FEATURE_TEXT, "\n".join(line.text for line in found.text_lines) or "(no writing)"),
        (pb.IMAGE_FEATURE_SAFETY, safety(found.safety)),
        (pb.IMAGE_FEATURE_POSE, poses(found.poses)),
        (pb.IMAGE_FEATURE_PERSON_MASK, f"people take {found.person_mask.coverage:.0%} of the picture"),
        (pb.IMAGE_FEATURE_EMBEDDING, f"{len(found.embedding)} numbers"),
    ]
    for feature, readable in shown:
        if feature in names:
            parts += [Text.assemble((feature_name(feature), "bold"), f"  {names[feature]}"), readable, ""]
    for failure in found.failures:
        parts.append(Text(f"{feature_name(failure.feature)} failed: {failure.status.message}", style="red"))
    return Group(*parts)


def safety(found: image_pb2.SafetyAssessment) -> Table:
    """How likely it is unsafe."""
    made = table("unsafe", "", right="unsafe")
    made.add_row(f"{found.unsafe_score:.3f}", bar(found.unsafe_score))
    return made


def place(box: BoundingBox, width: int, height: int) -> list[str]:
    """Left, top, right and bottom in pixels."""
    edges = (box.x_min * width, box.y_min * height, box.x_max * width, box.y_max * height)
    return [f"{edge:.0f}" for edge in edges]


def feature_name(feature: pb.ImageFeature.ValueType) -> str:
    """As it is typed: "person-mask"."""
    return pb.ImageFeature.Name(feature).removeprefix("IMAGE_FEATURE_").lower().replace("_", "-")


def part_name(part: image_pb2.BodyPart.ValueType) -> str:
    """For people: "left wrist"."""
    return image_pb2.BodyPart.Name(part).removeprefix("BODY_PART_").lower().replace("_", " ")
