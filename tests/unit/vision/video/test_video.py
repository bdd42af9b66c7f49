"""StreamingAnnotateVideo over a real socket, with faked ports: what is answered."""

import grpc
import pytest

from maas.vision.v1 import video_pb2 as pb
from services.mesh import errors
from services.mesh.testing import FakeInference
from services.vision.pipelines.video.look import Looker, VideoPlan
from tests.failure import failure
from tests.unit.vision.pictures import DETECTOR, FACES, READER, REQUEST_ID, line, lines
from tests.unit.vision.video.films import (
    Film,
    answers,
    boxes,
    clip,
    config,
    content,
    of_kind,
    seconds,
    still,
    walking,
    watching,
    when,
)

OBJECTS, FACES_TOO, TEXT, SHOTS = (
    pb.VIDEO_FEATURE_OBJECTS,
    pb.VIDEO_FEATURE_FACES,
    pb.VIDEO_FEATURE_TEXT,
    pb.VIDEO_FEATURE_SHOT_CHANGES,
)
FRAMES = [round(0.2 * index, 1) for index in range(20)]


async def test_follows():
    """Somebody who walks through the picture has one id from frame to frame, and the summary tells of them."""
    async with watching(Film()) as stub:
        answered = await answers(stub, config(OBJECTS, request_id=REQUEST_ID), *clip(*FRAMES))
    frames = of_kind(answered, "frame")
    assert [seconds(frame.offset) for frame in frames] == FRAMES
    assert {(each.track_id, each.name) for frame in frames for each in frame.objects} == {(1, "person")}
    assert not any(frame.faces or frame.text_lines for frame in frames)
    (summary,) = of_kind(answered, "summary")
    assert answered[-1] == ("summary", summary)
    (track,) = summary.tracks
    assert (track.name, seconds(track.start_offset), seconds(track.end_offset)) == ("person", 0, FRAMES[-1])
    assert seconds(track.visible_duration) == pytest.approx(3.8)
    assert (summary.width, summary.height, summary.frames_decoded, summary.frames_analyzed) == (640, 480, 20, 20)
    assert (list(summary.models), summary.request_id, seconds(summary.duration)) == (["detector"], REQUEST_ID, 3.8)


async def test_everything():
    """Objects and faces share one sequence of ids, text is read once a second, and each feature is asked for once."""
    film, inference = Film(), FakeInference(walking)
    async with watching(film, inference=inference) as stub:
        answered = await answers(stub, config(OBJECTS, FACES_TOO, TEXT), *clip(*FRAMES))
    frames = of_kind(answered, "frame")
    assert {each.track_id for frame in frames for each in frame.objects} == {1}
    assert {each.track_id for frame in frames for each in frame.faces} == {2}
    assert [seconds(frame.offset) for frame in frames if frame.text_lines] == [0, 1, 2, 3]
    assert len([model for model, *_ in inference.calls if model == "reader"]) == 4
    (summary,) = of_kind(answered, "summary")
    assert [track.name for track in summary.tracks] == ["person", "face"]
    (text,) = summary.texts
    assert (text.text, seconds(text.start_offset), seconds(text.end_offset)) == ("STOP", 0, 3)
    assert list(summary.models) == ["detector", "faces", "reader"]
    assert len(film.targets) == 3


async def test_shot_changes():
    """At a shot change all ids end, writing is read at once, and it is told where it was asked for."""
    messages = [*clip(0, 0.2, 0.4), *content("cut 0.5"), *clip(0.6, 0.8)]
    async with watching(Film()) as stub:
        answered = await answers(stub, config(OBJECTS, TEXT, SHOTS), *messages)
        without = await answers(stub, config(OBJECTS), *messages)
    assert [kind for kind, _ in answered] == ["frame"] * 3 + ["shot_change"] + ["frame"] * 2 + ["summary"]
    for each in answered, without:
        ids = [[found.track_id for found in frame.objects] for frame in of_kind(each, "frame")]
        assert ids == [[1], [1], [1], [2], [2]]
    assert [seconds(frame.offset) for frame in of_kind(answered, "frame") if frame.text_lines] == [0, 0.6]
    (change,) = answered[-1][1].shot_changes
    assert (seconds(change.offset), change.score) == (0.5, 0.75)
    assert seconds(answered[-1][1].tracks[0].visible_duration) == pytest.approx(0.5)
    assert not of_kind(without, "shot_change")
    assert not without[-1][1].shot_changes


async def test_only_shot_changes():
    """When only shot changes are asked for, no empty frames are sent, and no model is needed."""
    async with watching(Film(), cards=[DETECTOR]) as stub:
        answered = await answers(stub, config(SHOTS), *clip(0, 0.2), *content("cut 0.3"), *clip(0.4))
    assert [kind for kind, _ in answered] == ["shot_change", "summary"]
    assert (answered[-1][1].frames_analyzed, answered[-1][1].width) == (3, 640)


async def test_weak_objects():
    """Objects below the score are not told, but a thing that fades for three seconds on the way keeps its id."""

    def fading(_, inputs):
        at = when(inputs)
        return boxes((0.2 + 0.15 * at, 0.3 if 0.3 < at < 3.4 else 0.9, 0))

    async with watching(Film(), fading) as stub:
        answered = await answers(stub, config(OBJECTS), *clip(*FRAMES))
        low = await answers(stub, config(OBJECTS, min_object_score=0.25), *clip(*FRAMES))
    assert [[each.track_id for each in frame.objects] for frame in of_kind(answered, "frame")] == (
        [[1], [1]] + [[]] * 15 + [[1]] * 3
    )
    assert all(len(frame.objects) == 1 for frame in of_kind(low, "frame"))


async def test_object_names():
    """Only the classes that were named are told."""
    async with watching(Film(), lambda *_: boxes((0.2, 0.9, 0), (0.7, 0.8, 1))) as stub:
        answered = await answers(stub, config(OBJECTS, object_names=["dog"]), *clip(0, 0.2))
    assert [[each.name for each in frame.objects] for frame in of_kind(answered, "frame")] == [["dog"], ["dog"]]


async def test_stable_name():
    """A thing that a model calls something else on one frame keeps the name of its track."""
    async with watching(Film(), lambda _, inputs: boxes((0.5, 0.8, int(when(inputs) == 0.4)))) as stub:
        answered = await answers(stub, config(OBJECTS), *clip(0, 0.2, 0.4, 0.6))
    assert {(each.track_id, each.name) for frame in of_kind(answered, "frame") for each in frame.objects} == {
        (1, "person")
    }


async def test_omit_frames():
    """Without frames there are only shot changes and the summary, which tells the same."""
    messages = [*clip(0, 0.2), *content("cut 0.3"), *clip(0.4)]
    async with watching(Film()) as stub:
        whole = await answers(stub, config(OBJECTS, SHOTS), *messages)
        short = await answers(stub, config(OBJECTS, SHOTS, omit_frames=True), *messages)
    assert [kind for kind, _ in short] == ["shot_change", "summary"]
    assert short[-1] == whole[-1]


async def test_progress():
    """Progress is told when nothing else is, and says that the index is waited for."""
    async with watching(Film(), progress_seconds=0.01) as stub:
        call = stub.StreamingAnnotateVideo(timeout=10)
        await call.write(config(OBJECTS))
        await call.write(content("wait")[0])
        waits = (await call.read()).progress
        assert (waits.waiting_for_index, waits.bytes_received, waits.frames_analyzed) == (True, 4, 0)
        await call.write(content("more")[0])
        assert (await call.read()).progress.bytes_received == 8
        await call.write(clip(0.4)[0])
        await call.done_writing()
        rest = []
        while (answer := await call.read()) != grpc.aio.EOF:
            rest.append(answer)
    kinds = [answer.WhichOneof("streaming_response") for answer in rest]
    assert [kind for kind in kinds if kind != "progress"] == ["frame", "summary"]
    later = [answer.progress for answer in rest[kinds.index("frame") :] if answer.HasField("progress")]
    assert all((each.waiting_for_index, each.frames_analyzed) == (False, 1) for each in later)


async def test_before_the_end():
    """The answer for a frame comes while the next is still to be sent, for files and for single frames."""
    async with watching(Film()) as stub:
        for messages in (clip(0, 0.2, 0.4), [still(0), still(0.2), still(0.4)]):
            call = stub.StreamingAnnotateVideo(timeout=10)
            await call.write(config(OBJECTS))
            for index, message in enumerate(messages):
                await call.write(message)
                assert seconds((await call.read()).frame.offset) == pytest.approx(0.2 * index)
            await call.done_writing()
            assert (await call.read()).HasField("summary")


async def test_damaged():
    """A damaged video ends with what was found; when nothing was, with an error."""
    async with watching(Film()) as stub:
        answered = await answers(stub, config(OBJECTS), *clip(0, 0.2), *content("broken"))
        assert [kind for kind, _ in answered] == ["frame", "frame", "summary"]
        assert answered[-1][1].damaged
        code, _, bad, _ = await failure(answers(stub, config(OBJECTS), *content("broken")))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert bad.field_violations[0].field == "content"


async def test_stills():
    """Single frames are followed as those of a file, as many of them as were asked for."""
    film = Film()
    async with watching(film) as stub:
        answered = await answers(stub, config(OBJECTS), *(still(0.1 * index) for index in range(21)))
    frames = of_kind(answered, "frame")
    assert [seconds(frame.offset) for frame in frames] == pytest.approx([0.2 * index for index in range(11)])
    assert {each.track_id for frame in frames for each in frame.objects} == {1}
    summary = answered[-1][1]
    assert (summary.frames_decoded, summary.frames_analyzed, seconds(summary.duration)) == (21, 11, 2)
    assert len(film.rendered) == 11


async def test_stills_at_any_times():
    """A camera may send frames now and then; those that come too soon are not looked at."""
    async with watching(Film()) as stub:
        answered = await answers(stub, config(OBJECTS), *(still(each) for each in (0.5, 0.9, 1, 1.05, 7)))
    assert [seconds(frame.offset) for frame in of_kind(answered, "frame")] == [0.5, 0.9, 1, 7]


async def test_shots_of_stills():
    """A shot change between single frames is found by their colours; nearly black frames tell nothing."""
    async with watching(Film()) as stub:
        answered = await answers(
            stub,
            config(OBJECTS, SHOTS),
            *(still(0.2 * index, image) for index, image in enumerate([8, 8, 0, 8, 22, 22])),
        )
    (change,) = of_kind(answered, "shot_change")
    assert (seconds(change.offset), change.score) == (pytest.approx(0.8), pytest.approx(1))


async def test_unreadable_still():
    """A frame that is no picture is named as the caller sent it."""
    message = still(0.2)
    message.frame.image = b"bad"
    async with watching(Film()) as stub:
        code, _, bad, _ = await failure(answers(stub, config(OBJECTS), still(0), message))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert bad.field_violations[0].field == "frame.image"


async def test_unreadable_file():
    """What preprocessing says of a file is passed on."""
    async with watching(Film()) as stub:
        code, _, bad, _ = await failure(answers(stub, config(OBJECTS), *content("bad")))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert bad.field_violations[0].field == "content"


async def test_failing_inference():
    """When a model fails the stream ends with its error, after what was found before, and the decoding ends too."""
    film = Film()

    def failing(model, inputs):
        return errors.Unavailable("away", retry_after_seconds=1) if when(inputs) == 0.4 else walking(model, inputs)

    seen = []
    async with watching(film, failing) as stub:
        code, *_ = await failure(answers(stub, config(OBJECTS), *clip(0, 0.2, 0.4), seen=seen))
        assert code == grpc.StatusCode.UNAVAILABLE
        assert [seconds(frame.offset) for frame in of_kind(seen, "frame")] == [0, 0.2]
        await film.closed.wait()


def test_large_renderings():
    """What a frame is rendered for is small enough for preprocessing; the largest rendering gives way."""
    reader = READER.model_copy(update={"preprocess": {"width": 1920, "height": 1920, "fit": "inside"}})
    looker = Looker(None, VideoPlan(object_card=DETECTOR, face_card=FACES, text_card=reader))
    small, faces, text = looker.targets
    assert (small.width, faces.width) == (6, 64)
    assert 2_090_000 < sum(each.width * each.height for each in (small, faces, text)) <= 2_097_152


async def test_texts_once():
    """A text that is read again and again stands in the summary once, with its best score."""
    scores = iter([0.85, 0.95, 0.9])

    def reading(model, inputs):
        return lines(line("EXIT", (0.1, 0.1, 0.3, 0.2), score=next(scores))) if model == "reader" else None

    async with watching(Film(), reading) as stub:
        answered = await answers(stub, config(TEXT), *clip(0, 1, 2))
    (text,) = answered[-1][1].texts
    assert (text.text, text.score, seconds(text.end_offset)) == ("EXIT", pytest.approx(0.95), 2)
