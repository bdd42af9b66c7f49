"""PreprocessingService over a real socket: answers, statuses with their details, and cancellation."""

import asyncio
import io
import threading
import uuid
import wave

import grpc
import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh import tensor
from services.mesh.testing import serve
from services.preprocessing.app import app, servicer
from services.preprocessing.pipelines.image import render
from services.preprocessing.pipelines.workers import Workers
from services.preprocessing.settings import Settings
from tests.integration.preproc_service import pipelines, refused


@pytest.fixture
async def channel():
    with Workers(threads=2, max_waiting=8) as workers:
        async with serve(servicer(await pipelines(workers))) as channel:
            yield channel


@pytest.fixture
def stub(channel):
    return preprocessing_pb2_grpc.PreprocessingServiceStub(channel)


def photo() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((640, 427)).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def recording() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setparams((2, 2, 44_100, 0, "NONE", ""))
        output.writeframes(bytes(44_100 * 4))
    return file.getvalue()


async def test_normalize_text(stub):
    """Texts come back cleaned, in order, with the request's id."""
    echo = str(uuid.uuid4())
    request = pb.NormalizeTextRequest(contents=["  A\tB ", "\ufb01"], unicode_form=pb.UNICODE_FORM_NFKC, fold_case=True)
    request.request_id = echo
    response = await stub.NormalizeText(request)
    assert list(response.contents) == ["a b", "fi"]
    assert response.request_id == echo


async def test_long_texts_leave_the_loop(stub):
    """The largest legal request is answered too."""
    response = await stub.NormalizeText(pb.NormalizeTextRequest(contents=["x  " * 2700] * 64))
    assert set(response.contents) == {" ".join("x" * 2700)}


async def test_tokenize_text(stub):
    """Token ids and their mask come back as INT64 tensors."""
    response = await stub.TokenizeText(
        pb.TokenizeTextRequest(contents=["good film", "good good film"], tokenizer="words", max_tokens=2)
    )
    assert tensor.from_proto(response.input_ids).tolist() == [[4, 6], [4, 4]]
    assert tensor.from_proto(response.attention_mask).tolist() == [[1, 1], [1, 1]]
    assert list(response.truncated) == [False, True]


async def test_transform_image(stub):
    """A picture comes back as pixels, with what it was and which part is shown."""
    response = await stub.TransformImage(
        pb.TransformImageRequest(
            image=media_pb2.Image(content=photo()), width=224, height=224, fit=pb.FIT_COVER, crop_fraction=0.875
        )
    )
    assert tensor.from_proto(response.pixels).shape == (224, 224, 3)
    assert (response.source_width, response.source_height, response.source_format) == (640, 427, "JPEG")
    assert response.source_region.y_min == pytest.approx(0.0625)
    assert response.source_region.x_max == pytest.approx(0.5 + 0.875 * 427 / 640 / 2)


async def test_render_image(stub):
    """A picture comes back once for each target, in order; a target without a region shows all of it."""
    response = await stub.RenderImage(
        pb.RenderImageRequest(
            image=media_pb2.Image(content=photo()),
            targets=[
                pb.ImageTarget(width=30, height=20),
                pb.ImageTarget(width=320, height=320, fit=pb.FIT_INSIDE),
                pb.ImageTarget(width=8, height=8, region=media_pb2.BoundingBox(x_min=0.5, x_max=1, y_max=0.5)),
            ],
        )
    )
    shapes = [tensor.from_proto(each.pixels).shape for each in response.renderings]
    assert shapes == [(20, 30, 3), (214, 320, 3), (8, 8, 3)]
    assert (response.source_width, response.source_height, response.source_format) == (640, 427, "JPEG")
    regions = [each.source_region for each in response.renderings]
    assert regions[0] == regions[1] == media_pb2.BoundingBox(x_max=1, y_max=1)
    assert regions[2] == media_pb2.BoundingBox(x_min=0.5, x_max=1, y_max=0.5)


async def test_redact_image(stub):
    """A picture comes back with a place covered, by default in black."""
    response = await stub.RedactImage(
        pb.RedactImageRequest(
            image=media_pb2.Image(content=photo()), regions=[media_pb2.BoundingBox(y_min=0.5, x_max=1, y_max=1)]
        )
    )
    assert response.media_type == "image/jpeg"
    pixels = np.asarray(Image.open(io.BytesIO(response.content)))
    assert pixels.shape == (427, 640, 3)
    assert pixels[230:].max() < 8
    assert pixels[200].min() > 100


async def test_convert_audio(stub):
    """A recording comes back as samples at 16 kHz by default, with what it was and how long."""
    response = await stub.ConvertAudio(pb.ConvertAudioRequest(audio=media_pb2.Audio(content=recording())))
    assert tensor.from_proto(response.samples).shape == (16_000,)
    assert (response.sample_rate_hertz, response.source_sample_rate_hertz) == (16_000, 44_100)
    assert response.source_channels == 2
    assert response.source_codec == "pcm_s16le"
    assert response.duration.ToMilliseconds() == 1000


async def test_config(stub):
    """The service tells what it knows."""
    response = await stub.GetPreprocessingConfig(pb.GetPreprocessingConfigRequest())
    assert list(response.tokenizers) == ["words"]
    assert list(response.image_formats) == ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"]
    assert list(response.audio_formats) == ["aac", "flac", "mp3", "mp4", "ogg", "wav", "webm"]
    assert [(model.name, model.task) for model in response.models] == [("lid", "language-identification")]


PICTURE = media_pb2.Image(content=photo())
SMALL = pb.ImageTarget(width=8, height=8)
MISTAKES = {
    "contents": ("NormalizeText", pb.NormalizeTextRequest()),
    "contents[1]": ("TokenizeText", pb.TokenizeTextRequest(contents=["a", ""], tokenizer="words")),
    "unicode_form": ("NormalizeText", pb.NormalizeTextRequest(contents=["a"], unicode_form=9)),
    "request_id": ("NormalizeText", pb.NormalizeTextRequest(contents=["a"], request_id="mine")),
    "tokenizer": ("TokenizeText", pb.TokenizeTextRequest(contents=["a"])),
    "max_tokens": ("TokenizeText", pb.TokenizeTextRequest(contents=["a"], tokenizer="words", max_tokens=1)),
    "language_codes": ("SegmentText", pb.SegmentTextRequest(contents=["a", "b"], language_codes=["en"])),
    "language_codes[0]": ("SegmentText", pb.SegmentTextRequest(contents=["a"], language_codes=["en us"])),
    "image": ("TransformImage", pb.TransformImageRequest(width=8, height=8)),
    "image.content": ("TransformImage", pb.TransformImageRequest(image=media_pb2.Image(content=b"noise"))),
    "width": ("TransformImage", pb.TransformImageRequest(image=PICTURE, width=4097, height=8)),
    "height": ("TransformImage", pb.TransformImageRequest(image=PICTURE, width=8)),
    "fit": ("TransformImage", pb.TransformImageRequest(image=PICTURE, fit=7)),
    "crop_fraction": ("TransformImage", pb.TransformImageRequest(image=PICTURE, crop_fraction=float("nan"))),
    "targets": ("RenderImage", pb.RenderImageRequest(image=PICTURE)),
    "targets[1].fit": (
        "RenderImage",
        pb.RenderImageRequest(image=PICTURE, targets=[SMALL, pb.ImageTarget(width=8, height=8, fit=9)]),
    ),
    "regions": ("RedactImage", pb.RedactImageRequest(image=PICTURE)),
    "method": ("RedactImage", pb.RedactImageRequest(image=PICTURE, method=4)),
    "image.uri": (
        "RenderImage",
        pb.RenderImageRequest(image=media_pb2.Image(uri="https://example.com/"), targets=[SMALL]),
    ),
    "uri": ("FetchMedia", pb.FetchMediaRequest(uri="https://example.com/")),
    "audio.uri": ("ConvertAudio", pb.ConvertAudioRequest(audio=media_pb2.Audio(uri="https://example.com/"))),
    "audio": ("ConvertAudio", pb.ConvertAudioRequest()),
    "audio.content": ("ConvertAudio", pb.ConvertAudioRequest(audio=media_pb2.Audio(content=b""))),
    "sample_rate_hertz": (
        "ConvertAudio",
        pb.ConvertAudioRequest(audio=media_pb2.Audio(content=recording()), sample_rate_hertz=7_999),
    ),
}


@pytest.mark.parametrize("field", MISTAKES)
async def test_mistakes_are_named(stub, field):
    """Each mistake of a caller is INVALID_ARGUMENT with ErrorInfo and a BadRequest that names the field."""
    method, request = MISTAKES[field]
    code, (info, bad) = await refused(getattr(stub, method)(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert (info.domain, info.reason) == ("maas", "INVALID_ARGUMENT")
    assert [violation.field for violation in bad.field_violations] == [field]


async def test_unknown_tokenizer(stub):
    """An unknown tokenizer is NOT_FOUND, and the error lists those that exist."""
    code, (info,) = await refused(stub.TokenizeText(pb.TokenizeTextRequest(contents=["a"], tokenizer="other")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert (info.reason, info.metadata["known"]) == ("TOKENIZER_NOT_FOUND", "words")


class Slow:
    """Stands in for the decoding of a picture: says when it begins, and ends when it is let."""

    def __init__(self, monkeypatch):
        self.begun = 0
        self.leave = threading.Event()
        self._transform = render.transform
        monkeypatch.setattr(render, "transform", self)

    def __call__(self, *args, **options):
        self.begun += 1
        assert self.leave.wait(10)
        return self._transform(*args, **options)

    async def until_begun(self, count):
        async with asyncio.timeout(10):
            while self.begun < count:
                await asyncio.sleep(0.001)


async def test_too_many_at_once(monkeypatch):
    """Beyond the threads and waiting places a call is RESOURCE_EXHAUSTED with RetryInfo; the others are answered."""
    slow = Slow(monkeypatch)
    request = pb.TransformImageRequest(image=PICTURE, width=8, height=8)
    with Workers(threads=1, max_waiting=1) as workers:
        async with serve(servicer(await pipelines(workers))) as channel:
            stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
            calls = [asyncio.ensure_future(stub.TransformImage(request)) for _ in range(3)]
            first, _ = await asyncio.wait(calls, timeout=10, return_when=asyncio.FIRST_COMPLETED)
            (turned_away,) = first
            code, (_, retry) = await refused(turned_away)
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert retry.retry_delay.ToMilliseconds() > 0
            slow.leave.set()
            for call in calls:
                if call is not turned_away:
                    assert (await call).source_width == 640


async def test_what_nobody_waits_for_never_begins(monkeypatch):
    """Cancelled and late calls that wait are never decoded; one that runs holds its thread until it ends."""
    slow = Slow(monkeypatch)
    request = pb.TransformImageRequest(image=PICTURE, width=8, height=8)
    with Workers(threads=1, max_waiting=8) as workers:
        async with serve(servicer(await pipelines(workers))) as channel:
            stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
            running = stub.TransformImage(request)
            await slow.until_begun(1)
            cancelled = stub.TransformImage(request)
            late = stub.TransformImage(request, timeout=0.05)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await late
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            async with asyncio.timeout(10):
                while workers.waiting:
                    await asyncio.sleep(0.001)
            slow.leave.set()
            assert (await running).source_width == 640
            assert (await stub.TransformImage(request)).source_width == 640
    assert slow.begun == 2


async def test_other_calls_do_not_wait_for_a_picture(monkeypatch):
    """While every thread decodes, short texts are answered."""
    slow = Slow(monkeypatch)
    with Workers(threads=1, max_waiting=8) as workers:
        async with serve(servicer(await pipelines(workers))) as channel:
            stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
            running = stub.TransformImage(pb.TransformImageRequest(image=PICTURE, width=8, height=8))
            await slow.until_begun(1)
            response = await stub.NormalizeText(pb.NormalizeTextRequest(contents=[" a "]), timeout=10)
            assert list(response.contents) == ["a"]
            slow.leave.set()
            await running


async def test_the_service_as_it_is_composed(tmp_path):
    """With settings alone, and without Triton, the service finds the tokenizers of its assets directory and answers."""
    (tmp_path / "tokenizers").mkdir()
    tokenizer = Tokenizer(models.WordLevel({"?": 1}, unk_token="?"))  # noqa: S106 - no secret
    tokenizer.save(str(tmp_path / "tokenizers" / "tiny.json"))
    addresses = dict.fromkeys(("listen_address", "metrics_address", "triton_address"), "127.0.0.1:0")
    settings = Settings(**addresses, assets_directory=tmp_path)
    async with app(settings) as servicers, serve(*servicers) as channel:
        stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
        response = await stub.GetPreprocessingConfig(pb.GetPreprocessingConfigRequest())
    assert list(response.tokenizers) == ["tiny"]


def test_missing_assets_stop_the_start(tmp_path):
    """A directory of assets that does not exist is a mistake that is seen at start."""
    with pytest.raises(ValueError, match="assets_directory"):
        Settings(
            listen_address="a:0", metrics_address="a:0", triton_address="a:0", assets_directory=tmp_path / "absent"
        )
