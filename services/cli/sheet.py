"""A contact sheet of a video: each thing that appeared, at its best moment, with when it was there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import typer
from PIL import Image, ImageDraw, ImageFont, ImageOps

from maas.vision.v1.video_pb2 import TrackSummary
from services.cli.output import clock, seconds
from services.cli.picture import Canvas, save_image

_COLUMNS, _ROWS = 4, 6
_WIDTH, _HEIGHT, _WORDS, _GAP = 320, 240, 40, 8
_DARK = "#202020"


def save(video: Path, tracks: Sequence[TrackSummary], path: Path) -> None:
    """Draw the longest tracks of a video, in order of appearance, and write them as one picture."""
    chosen = sorted(tracks[: _COLUMNS * _ROWS], key=lambda track: seconds(track.start_offset))
    frames = _frames(video, [seconds(track.best_offset) for track in chosen])
    rows = max(1, -(-len(chosen) // _COLUMNS))
    sheet = Image.new("RGB", (_COLUMNS * (_WIDTH + _GAP) + _GAP, rows * (_HEIGHT + _WORDS + _GAP) + _GAP), _DARK)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for index, (track, frame) in enumerate(zip(chosen, frames, strict=True)):
        left = _GAP + index % _COLUMNS * (_WIDTH + _GAP)
        top = _GAP + index // _COLUMNS * (_HEIGHT + _WORDS + _GAP)
        if frame is not None:
            small = ImageOps.contain(frame, (_WIDTH, _HEIGHT))
            Canvas(small).box(track.best_box, f"#{track.track_id} {track.best_score:.2f}", track.name)
            sheet.paste(small, (left + (_WIDTH - small.width) // 2, top + (_HEIGHT - small.height) // 2))
        when = f"{clock(seconds(track.start_offset))} to {clock(seconds(track.end_offset))}"
        pen.text((left, top + _HEIGHT + 2), f"#{track.track_id} {track.name}", fill="white", font=font)
        pen.text((left, top + _HEIGHT + 20), when, fill="#b0b0b0", font=font)
    save_image(sheet, path)


def _frames(video: Path, offsets: Sequence[float]) -> list[Image.Image | None]:
    """The frames that are shown then, upright; None where the video has none. Reads the video once."""
    found: dict[float, Image.Image] = {}
    wanted = sorted(set(offsets))
    try:
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            begin: float | None = None
            for frame in container.decode(stream):
                if not wanted:
                    break
                if frame.time is None:
                    continue
                begin = frame.time if begin is None else begin
                # Half a frame early is the same frame, written with fewer digits.
                if frame.time - begin >= wanted[0] - 0.01:
                    found[wanted.pop(0)] = Image.fromarray(frame.to_ndarray(format="rgb24")).rotate(
                        frame.rotation, expand=True
                    )
    except (av.FFmpegError, IndexError, OSError) as error:
        raise typer.BadParameter(f"{video} cannot be read again for drawing: {error}") from None
    return [found.get(offset) for offset in offsets]
