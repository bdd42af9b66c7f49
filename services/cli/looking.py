"""The part of `maas demo` that looks at pictures and a video."""

from __future__ import annotations

from maas.type.v1.media_pb2 import Image
from maas.vision.v1 import face_pb2, image_pb2, video_pb2, vision_pb2
from services.cli import picture, sheet
from services.cli.output import table
from services.cli.stage import Stage, near
from services.cli.vision import tables, video

SERVICE = "maas.vision.v1.VisionService"
PHOTO, PORTRAIT, PAGE, VIDEO = "coffee.png", "portrait.png", "page.png", "bikes.mp4"
_LINES, _TRACKS = 3, 5


def look(stage: Stage) -> None:
    """Everything about pictures."""
    stage.title("LOOK", f"at a photo, {PHOTO}")
    _things(stage)
    stage.title("LOOK", f"at a face, {PORTRAIT}, and a page, {PAGE}")
    _face(stage)
    _page(stage)
    stage.title("WATCH", f"a video, {VIDEO}, while it is being sent")
    _video(stage)


def _things(stage: Stage) -> None:
    image = _image(stage, PHOTO)
    classify = vision_pb2.ClassifyImageRequest(image=image, max_results=3)
    answer = stage.call(f"{SERVICE}/ClassifyImage", classify, vision_pb2.ClassifyImageResponse, twice=True)
    stage.show(tables.labels(answer.labels))
    detect = vision_pb2.DetectObjectsRequest(image=image)
    found = stage.call(f"{SERVICE}/DetectObjects", detect, vision_pb2.DetectObjectsResponse, twice=True)
    stage.show(tables.objects(found.objects, found.image_width, found.image_height))
    with picture.drawn_on(image.content, stage.kept / "boxes.png") as canvas:
        canvas.objects(found.objects)
    stage.show(f"drawn on {near(stage.kept / 'boxes.png')}")


def _face(stage: Stage) -> None:
    image = _image(stage, PORTRAIT)
    request = face_pb2.DetectFacesRequest(
        image=image, attributes=[face_pb2.FACE_ATTRIBUTE_AGE, face_pb2.FACE_ATTRIBUTE_EXPRESSION]
    )
    found = stage.call(f"{SERVICE}/DetectFaces", request, face_pb2.DetectFacesResponse, twice=True)
    for face in found.faces:
        expressed = face.expressions[0].name if face.expressions else ""
        stage.show(f"a face, some {face.age_years:.0f} years old, {expressed}")
    with picture.drawn_on(image.content, stage.kept / "face.png") as canvas:
        canvas.faces(found.faces)
    stage.show(f"drawn on {near(stage.kept / 'face.png')}")


def _page(stage: Stage) -> None:
    request = image_pb2.RecognizeTextRequest(image=_image(stage, PAGE))
    found = stage.call(f"{SERVICE}/RecognizeText", request, image_pb2.RecognizeTextResponse)
    for line in found.lines[:_LINES]:
        stage.show(line.text, narrow=True)
    if len(found.lines) > _LINES:
        stage.show(f"... and {len(found.lines) - _LINES} more lines")


def _video(stage: Stage) -> None:
    config = video_pb2.VideoConfig(
        features=[video_pb2.VIDEO_FEATURE_OBJECTS, video_pb2.VIDEO_FEATURE_SHOT_CHANGES], frames_per_second=3
    )
    path, summary = stage.samples / VIDEO, video_pb2.VideoSummary()
    with (
        path.open("rb") as file,
        stage.conversation(
            f"{SERVICE}/StreamingAnnotateVideo", video.requests(config, file), video_pb2.StreamingAnnotateVideoResponse
        ) as answers,
    ):
        for answer in answers:
            summary = answer.summary
    made = table("", "seen")
    made.show_header = False
    for track in summary.tracks[:_TRACKS]:
        made.add_row(f"{track.name} #{track.track_id}", video.when(track))
    stage.show(made)
    rest = f"and {len(summary.tracks) - _TRACKS} others, " if len(summary.tracks) > _TRACKS else ""
    stage.show(f"{rest}{len(summary.shot_changes) + 1} shots, {summary.frames_analyzed} frames looked at")
    sheet.save(path, summary.tracks, stage.kept / "video.png")
    stage.show(f"what appeared: {near(stage.kept / 'video.png')}")


def _image(stage: Stage, name: str) -> Image:
    return Image(content=(stage.samples / name).read_bytes())
