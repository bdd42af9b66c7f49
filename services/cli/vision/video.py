"""`maas vision video`: what happens in a video, told while it is being sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console, Group, RenderableType
from rich.status import Status

from maas.vision.v1 import video_pb2 as pb
from services.cli.client import connect
from services.cli.options import CHUNK_BYTES, VIDEO_SECONDS, Address, Json, Timeout, Video
from services.cli.output import clock, console, errors, seconds, table, to_json
from services.cli.vision.images import SERVICE


def video(
    file: Video,
    *,
    address: Address,
    faces: Annotated[bool, typer.Option("--faces", help="Find faces too.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Read writing too, about once a second; slow.")] = False,
    objects: Annotated[bool, typer.Option(help="Find and follow things.")] = True,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only things of this class. Repeat.")] = None,
    fps: Annotated[
        float, typer.Option(metavar="N", help="Frames a second to look at; 0 leaves it to the service.")
    ] = 0,
    min_score: Annotated[float, typer.Option(metavar="0..1", help="Leave out things below.")] = 0.0,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a contact sheet of what appeared, with times.")
    ] = None,
    timeout: Timeout = VIDEO_SECONDS,
    as_json: Json = False,
) -> None:
    """Say what appears in a video, when and for how long, and where its shots change; with --json a line a message."""
    if save and file.name == "<stdin>":
        raise typer.BadParameter("--save reads the video again: give it as a file")
    if save:
        from services.cli import picture  # noqa: PLC0415 - Pillow is only for those who draw

        picture.require_format(save)
    wanted = {
        pb.VIDEO_FEATURE_OBJECTS: objects,
        pb.VIDEO_FEATURE_SHOT_CHANGES: True,
        pb.VIDEO_FEATURE_FACES: faces,
        pb.VIDEO_FEATURE_TEXT: text,
    }
    config = pb.VideoConfig(
        features=[feature for feature, is_wanted in wanted.items() if is_wanted],
        frames_per_second=fps,
        min_object_score=min_score,
        object_names=only or [],
    )
    with connect(address, timeout) as mesh:
        method = f"{SERVICE}/StreamingAnnotateVideo"
        with mesh.converse(method, requests(config, file), pb.StreamingAnnotateVideoResponse) as answers:
            summary = _follow_json(answers) if as_json else _follow(answers, console())
        if save:
            from services.cli import sheet  # noqa: PLC0415 - as above

            sheet.save(Path(file.name), summary.tracks, save)
            errors().print(f"wrote {save}")


def requests(config: pb.VideoConfig, file: BinaryIO) -> Iterator[pb.StreamingAnnotateVideoRequest]:
    """The configuration, then the file in chunks."""
    yield pb.StreamingAnnotateVideoRequest(config=config)
    while chunk := file.read(CHUNK_BYTES):
        yield pb.StreamingAnnotateVideoRequest(content=chunk)


def _follow_json(answers: Iterator[pb.StreamingAnnotateVideoResponse]) -> pb.VideoSummary:
    summary = pb.VideoSummary()
    for answer in answers:
        print(to_json(answer, on_one_line=True), flush=True)
        summary = answer.summary
    return summary


def _follow(answers: Iterator[pb.StreamingAnnotateVideoResponse], out: Console) -> pb.VideoSummary:
    """Say what is new as it comes, and the summary at the end."""
    known: set[int] = set()
    summary = pb.VideoSummary()
    with errors().status("sending") as status:
        for answer in answers:
            kind = answer.WhichOneof("streaming_response")
            if kind == "frame":
                for words in _news(answer.frame, known):
                    out.print(f"{clock(seconds(answer.frame.offset))}  {words}")
            elif kind == "shot_change":
                out.print(f"{clock(seconds(answer.shot_change.offset))}  -- a new shot")
            elif kind == "progress":
                _progress(answer.progress, status)
            elif kind == "summary":
                summary = answer.summary
    out.print(tracks(summary))
    return summary


def _news(frame: pb.FrameAnnotation, known: set[int]) -> Iterator[str]:
    for thing in frame.objects:
        if thing.track_id not in known:
            known.add(thing.track_id)
            yield f"{thing.name} #{thing.track_id}"
    for tracked in frame.faces:
        if tracked.track_id not in known:
            known.add(tracked.track_id)
            yield f"face #{tracked.track_id}"
    for line in frame.text_lines:
        yield f'"{line.text}"'


def _progress(progress: pb.VideoProgress, status: Status) -> None:
    if progress.waiting_for_index:
        status.update("sending; this file has its index at the end, so nothing can be said before it is there")
    else:
        status.update(f"at {clock(seconds(progress.offset))}, {progress.frames_analyzed} frames looked at")


def when(track: pb.TrackSummary) -> str:
    """From its first to its last appearance, and how long it was seen."""
    begin, end = clock(seconds(track.start_offset)), clock(seconds(track.end_offset))
    return f"{begin} to {end}, for {seconds(track.visible_duration):.1f} s"


def tracks(summary: pb.VideoSummary) -> RenderableType:
    """A line a thing that appeared, the longest first; below, what the video is."""
    made = table("track", "what", "first_seen", "last_seen", "visible", "score", right="track visible score")
    for track in summary.tracks:
        made.add_row(
            f"#{track.track_id}",
            track.name,
            clock(seconds(track.start_offset)),
            clock(seconds(track.end_offset)),
            f"{seconds(track.visible_duration):.1f} s",
            f"{track.best_score:.2f}",
        )
    size = f"{summary.width} x {summary.height}"
    counts = f"{summary.frames_decoded} frames, {summary.frames_analyzed} looked at"
    whole = f"{clock(seconds(summary.duration))} of {size}, {counts}, {len(summary.shot_changes) + 1} shots"
    whole += ", partly damaged" if summary.damaged else ""
    return Group(made, whole)
