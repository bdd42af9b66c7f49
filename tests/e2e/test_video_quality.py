"""What is found in known videos, as a person would; through the gateway.

bikes.mp4 is ten seconds of city traffic at 25 frames a second, cut five times, with its index at the end. Behind the
second cut a cyclist waits, whom a van hides for most of a second; behind the fourth somebody walks past a bicycle.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import grpc
import pytest

from maas.vision.v1 import video_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc

SAMPLES = Path(__file__).parents[2] / ".build/samples"
SECONDS = 240
FRAME = 0.04
CUTS = [1.2, 3.04, 5.48, 7.48, 9.68]
CHUNK = 16 * 1024
MEBIBYTE = 1024 * 1024

OBJECTS, SHOTS, FACES = pb.VIDEO_FEATURE_OBJECTS, pb.VIDEO_FEATURE_SHOT_CHANGES, pb.VIDEO_FEATURE_FACES


@pytest.fixture(scope="module")
def vision(mesh):
    with grpc.insecure_channel(mesh.address) as channel:
        yield vision_pb2_grpc.VisionServiceStub(channel)


def config(*features, **given) -> pb.StreamingAnnotateVideoRequest:
    return pb.StreamingAnnotateVideoRequest(config=pb.VideoConfig(features=features, **given))


def chunks(content: bytes) -> list[pb.StreamingAnnotateVideoRequest]:
    return [
        pb.StreamingAnnotateVideoRequest(content=content[start : start + CHUNK])
        for start in range(0, len(content), CHUNK)
    ]


def answers(vision, first, content: bytes) -> list[pb.StreamingAnnotateVideoResponse]:
    return list(vision.StreamingAnnotateVideo(iter([first, *chunks(content)]), timeout=SECONDS))


def seconds(duration) -> float:
    return duration.ToMilliseconds() / 1000


def looped(content: bytes, times: int) -> bytes:
    """The same video again and again, as Matroska, whose index is not needed."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as target:
        stream = None
        for turn in range(times):
            with av.open(io.BytesIO(content)) as source:
                video = source.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                length = round(10 / video.time_base)
                for packet in source.demux(video):
                    if packet.dts is not None:
                        packet.pts += turn * length
                        packet.dts += turn * length
                        packet.stream = stream
                        target.mux(packet)
    return file.getvalue()


@pytest.fixture(scope="module")
def bikes() -> bytes:
    return (SAMPLES / "bikes.mp4").read_bytes()


def test_shots_begin_at_the_right_frames(vision, bikes):
    """Five cuts are found, each at the very frame; a film without a cut has none."""
    summary = answers(vision, config(SHOTS), bikes)[-1].summary
    assert [seconds(change.offset) for change in summary.shot_changes] == pytest.approx(CUTS, abs=FRAME / 2)
    assert (summary.width, summary.height, summary.frames_decoded) == (640, 272, 250)
    assert seconds(summary.duration) == pytest.approx(10, abs=FRAME)
    bunny = answers(vision, config(SHOTS), (SAMPLES / "bunny.mp4").read_bytes())[-1].summary
    assert not bunny.shot_changes


@pytest.mark.parametrize("frames_per_second", [5, 12])
def test_people_keep_their_ids(vision, bikes, frames_per_second):
    """The cyclist behind the van and the one who walks past have one id each, at any number of frames a second."""
    first = config(OBJECTS, FACES, object_names=["person"], frames_per_second=frames_per_second)
    frames = [each.frame for each in answers(vision, first, bikes) if each.HasField("frame")]
    for begin, end, least in ((CUTS[1], CUTS[2], 1.0), (CUTS[3], 8.3, 0.2)):
        ids = [
            max(frame.objects, key=lambda found: found.score).track_id
            for frame in frames
            if begin <= seconds(frame.offset) < end and frame.objects
        ]
        assert len(set(ids)) == 1, ids
        assert len(ids) >= least * frames_per_second
    faces = {each.track_id for frame in frames if CUTS[1] <= seconds(frame.offset) < CUTS[2] for each in frame.faces}
    assert len(faces) == 1


def test_the_summary_tells_the_same(vision, bikes):
    """The summary's tracks are those of the frames, with the time that they were seen."""
    answered = answers(vision, config(OBJECTS), bikes)
    frames, summary = [each.frame for each in answered if each.HasField("frame")], answered[-1].summary
    seen = [each.track_id for frame in frames for each in frame.objects]
    assert {track.track_id for track in summary.tracks} == set(seen)
    for track in summary.tracks:
        assert seconds(track.visible_duration) == pytest.approx(0.2 * seen.count(track.track_id), abs=0.2)
    lengths = [seconds(track.visible_duration) for track in summary.tracks]
    assert lengths == sorted(lengths, reverse=True)
    assert summary.tracks[0].name == "person"


class Sender:
    """Sends a file, and waits for an answer before it goes on at one place.

    waits_before: the number of that chunk. came: whether the answer did.
    """

    def __init__(self, first, messages, waits_before: int) -> None:
        self._messages = [first, *messages]
        self._waits_before = waits_before + 1
        self._answered = threading.Event()
        self.came = False

    def requests(self) -> Iterator[pb.StreamingAnnotateVideoRequest]:
        for index, message in enumerate(self._messages):
            if index == self._waits_before:
                self.came = self._answered.wait(SECONDS)
            yield message

    def converse(self, vision, kind: str) -> tuple[list[pb.StreamingAnnotateVideoResponse], int]:
        """All answers, and which of them was the first of that kind, which lets the sender go on."""
        answered, first = [], -1
        for answer in vision.StreamingAnnotateVideo(self.requests(), timeout=SECONDS):
            answered.append(answer)
            if first < 0 and answer.HasField(kind):
                first = len(answered) - 1
                self._answered.set()
        return answered, first


def test_answers_come_while_it_is_sent(vision, bikes):
    """The first frame is answered before the second half of the file is sent."""
    messages = chunks(looped(bikes, 1))
    sender = Sender(config(OBJECTS), messages, waits_before=len(messages) // 2)
    answered, first = sender.converse(vision, "frame")
    assert sender.came
    assert seconds(answered[first].frame.offset) == 0
    assert answered[-1].summary.frames_analyzed == 50


def test_waits_for_the_index(vision, bikes):
    """Of a file whose index is at its end it is said at once that nothing can be told before it has come."""
    messages = chunks(bikes)
    sender = Sender(config(OBJECTS), messages, waits_before=len(messages) - 1)
    answered, first = sender.converse(vision, "progress")
    assert sender.came
    assert answered[first].progress.waiting_for_index
    assert 0 < answered[first].progress.bytes_received < len(bikes)
    assert answered[-1].HasField("summary")


def test_memory_stays_flat(vision, mesh, bikes):
    """Over five minutes of video neither vision nor preprocessing grows."""
    memory: dict[str, list[int]] = {"vision": [], "preprocessing": []}
    pids = {name: mesh.states()[name].pid for name in memory}
    messages = chunks(looped(bikes, 30))
    frames = 0
    for answer in vision.StreamingAnnotateVideo(
        iter([config(OBJECTS, SHOTS, frames_per_second=1), *messages]), timeout=SECONDS
    ):
        frames += answer.HasField("frame")
        if answer.HasField("frame") and frames % 30 == 0:
            for name, pid in pids.items():
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                memory[name].append(pages * os.sysconf("SC_PAGE_SIZE"))
    assert answer.summary.frames_analyzed == 300
    assert len(answer.summary.shot_changes) == 30 * 6 - 1
    for name, sizes in memory.items():
        assert max(sizes[4:]) - max(sizes[:4]) < 24 * MEBIBYTE, (name, sizes)
