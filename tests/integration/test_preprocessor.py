"""The two adapters of the preprocessing port: over a real socket and in process they answer alike."""

import io
import wave
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import DetectedLanguage, Preprocessor, Region, Sentence, Target
from services.mesh.preprocessing import RemotePreprocessor, open_preprocessing
from services.mesh.server import serving
from services.mesh.settings import ServiceSettings
from services.mesh.status import code_of
from services.mesh.testing import FakeInference, known_models, serve
from services.preprocessing.app import servicer
from services.preprocessing.local import LocalPreprocessor
from services.preprocessing.pipelines.fetch.fetcher import Fetcher
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.pipelines.languages import TASK, LanguageIdentifier
from services.preprocessing.pipelines.sound.sounds import Sounds
from services.preprocessing.pipelines.sound.stream import SoundStreamer
from services.preprocessing.pipelines.tokens import Tokenizers
from services.preprocessing.pipelines.video.extract import FrameExtractor
from services.preprocessing.pipelines.workers import Workers

Adapters = dict[str, Preprocessor]
# Probabilities that 32 bits hold exactly.
ENGLISH = b'[["en", 0.75], ["pt", 0.125]]'


async def pipelines(workers: Workers) -> InputPipelines:
    """One tokenizer, and a model of languages that knows English only."""
    tokenizer = Tokenizer(models.WordLevel({"?": 1, "good": 4, "film": 6}, unk_token="?"))  # noqa: S106 - no secret
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    inference = FakeInference(lambda _, inputs: {"languages": np.full(inputs["text"].shape, ENGLISH, np.object_)})
    known = await known_models(ModelCard(name="lid", task=TASK, summary=""))
    return InputPipelines(
        Tokenizers({"words": tokenizer}),
        workers,
        LanguageIdentifier(inference, known),
        Fetcher(),
        extractor=FrameExtractor(),
        sounds=Sounds(SoundStreamer(), inference, known),
    )


@pytest.fixture
async def adapters() -> AsyncIterator[Adapters]:
    """Both, on pipelines of the same kind."""
    with Workers(threads=2, max_waiting=8) as workers:
        shared = await pipelines(workers)
        async with serve(servicer(shared)) as channel:
            yield {"remote": RemotePreprocessor(channel), "local": LocalPreprocessor(shared)}


def photo() -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").resize((640, 427)).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def recording() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setparams((2, 2, 44_100, 0, "NONE", ""))
        output.writeframes(np.random.default_rng(7).integers(-9000, 9000, 44_101 * 2, np.int16).tobytes())
    return file.getvalue()


@pytest.mark.parametrize("texts", [["good film", "film", "?"], ["good film " * 800] * 3], ids=["short", "long"])
async def test_the_same_tokens(adapters, texts):
    """Ids, mask and what was cut are equal, whether the texts are done at once or in a thread."""
    remote, local = [
        await each.tokenize(texts, tokenizer="words", max_tokens=1000, deadline=Deadline.after(10))
        for each in adapters.values()
    ]
    np.testing.assert_array_equal(local.input_ids, remote.input_ids, strict=True)
    np.testing.assert_array_equal(local.attention_mask, remote.attention_mask, strict=True)
    assert local.truncated == remote.truncated


async def test_the_most_tokens_fit():
    """The largest answer of tokens, beyond gRPC's own 4 MiB, comes through the channel that services use."""
    settings = ServiceSettings(listen_address="127.0.0.1:0", metrics_address="127.0.0.1:0", drain_seconds=1)
    with Workers(threads=2, max_waiting=8) as workers:
        made = servicer(await pipelines(workers))
        async with serving([made], settings) as port, open_preprocessing(f"127.0.0.1:{port}") as remote:
            tokens = await remote.tokenize(
                ["? " * 4096] * 64, tokenizer="words", max_tokens=8192, deadline=Deadline.after(30)
            )
    assert tokens.input_ids.shape == (64, 4096)


@pytest.mark.parametrize("texts", [["Yes. No.", "\u4f60\u597d\u3002\U0001f600!", " "], ["A sentence. " * 9000] * 3])
async def test_the_same_sentences(adapters, texts):
    """Their places are equal."""
    remote, local = [
        await each.segment(texts, language_codes=["en"] * len(texts), deadline=Deadline.after(10))
        for each in adapters.values()
    ]
    assert local == remote
    assert local[0][0] == Sentence(0, texts[0].index(".") + 1)


async def test_the_same_languages(adapters):
    """What the model says and what the writing tells are equal."""
    texts = ["hello", "\u3053\u3093\u306b\u3061\u306f", "123"]
    remote, local = [await each.detect_language(texts, deadline=Deadline.after(10)) for each in adapters.values()]
    assert local == remote
    english = DetectedLanguage("en", 0.75, (("pt", 0.125),))
    assert local == [english, DetectedLanguage("ja", 1.0), DetectedLanguage("", 0.0)]


async def test_the_same_pixels(adapters):
    """Of each target pixels and sizes are equal; the regions too, but for the contract's 32-bit fractions."""
    targets = [
        Target(224, 224, "cover", 0.875),
        Target(300, 300, "stretch"),
        Target(64, 48, "contain", 0.0),
        Target(4096, 99, "inside"),
        Target(50, 40, "stretch", region=Region(0.25, 0.5, 0.75, 1.0)),
        Target(50, 50, "contain", region=Region(0.0, 0.0, 0.125, 1.0)),
    ]
    remote, local = [
        await each.render_image(photo(), targets, deadline=Deadline.after(10)) for each in adapters.values()
    ]
    for here, there in zip(local, remote, strict=True):
        np.testing.assert_array_equal(here.pixels, there.pixels, strict=True)
        assert (here.source_width, here.source_height) == (there.source_width, there.source_height) == (640, 427)
        for side in ("x_min", "y_min", "x_max", "y_max"):
            assert np.float32(getattr(here.source_region, side)) == getattr(there.source_region, side)


@pytest.mark.parametrize("method", ["fill", "blur", "pixelate"])
async def test_the_same_cover(adapters, method):
    """A redacted picture is the same file."""
    regions = [Region(0.25, 0.25, 0.5, 0.5), Region(0.75, 0.75, 2.0, 2.0)]
    remote, local = [
        await each.redact_image(photo(), regions, method=method, deadline=Deadline.after(10))
        for each in adapters.values()
    ]
    assert local == remote
    assert local.media_type == "image/jpeg"


@pytest.mark.parametrize("sample_rate_hertz", [16_000, 44_100, 0])
async def test_the_same_sound(adapters, sample_rate_hertz):
    """Samples and rate are equal; the duration too, but for the contract's whole microseconds."""
    remote, local = [
        await each.convert_audio(recording(), sample_rate_hertz=sample_rate_hertz, deadline=Deadline.after(10))
        for each in adapters.values()
    ]
    np.testing.assert_array_equal(local.samples, remote.samples, strict=True)
    assert local.sample_rate_hertz == remote.sample_rate_hertz
    assert round(local.duration_seconds, 6) == remote.duration_seconds


TEXT = {"texts": ["good"], "tokenizer": "words", "max_tokens": 8}
SMALL = Target(8, 8, "cover")
PICTURE = {"content": photo(), "targets": [SMALL]}
PLACES = {"content": photo(), "regions": [Region(0, 0, 1, 1)], "method": "fill"}
SOUND = {"content": recording(), "sample_rate_hertz": 16_000}
MISTAKES = {
    "no text": ("tokenize", {**TEXT, "texts": []}),
    "two bad texts": ("tokenize", {**TEXT, "texts": ["", "good", "x" * 8193]}),
    "no tokenizer": ("tokenize", {**TEXT, "tokenizer": ""}),
    "unknown tokenizer": ("tokenize", {**TEXT, "tokenizer": "other"}),
    "too few tokens": ("tokenize", {**TEXT, "max_tokens": 1}),
    "no text to segment": ("segment", {"texts": [], "language_codes": []}),
    "two bad texts to segment": ("segment", {"texts": ["a", "", ""], "language_codes": []}),
    "one language for two": ("segment", {"texts": ["a", "b"], "language_codes": ["en"]}),
    "no language": ("segment", {"texts": ["a"], "language_codes": ["english, please"]}),
    "no text to detect": ("detect_language", {"texts": []}),
    "a bad text to detect": ("detect_language", {"texts": ["a", "x" * 131_073]}),
    "too much to detect": ("detect_language", {"texts": ["x" * 131_072] * 17}),
    "no picture": ("render_image", {**PICTURE, "content": b""}),
    "not a picture": ("render_image", {**PICTURE, "content": b"noise"}),
    "half a picture": ("render_image", {**PICTURE, "content": photo()[:2000]}),
    "no target": ("render_image", {**PICTURE, "targets": []}),
    "many targets": ("render_image", {**PICTURE, "targets": [SMALL] * 33}),
    "large targets": ("render_image", {**PICTURE, "targets": [SMALL, Target(4096, 4096, "inside")]}),
    "too wide": ("render_image", {**PICTURE, "targets": [SMALL, Target(4097, 8, "cover")]}),
    "no height": ("render_image", {**PICTURE, "targets": [SMALL, Target(8, 0, "cover")]}),
    "below nothing": ("render_image", {**PICTURE, "targets": [SMALL, Target(-1, 8, "cover")]}),
    "too much": ("render_image", {**PICTURE, "targets": [SMALL, replace(SMALL, crop_fraction=1.5)]}),
    "not a number": ("render_image", {**PICTURE, "targets": [SMALL, replace(SMALL, crop_fraction=float("nan"))]}),
    "outside": ("render_image", {**PICTURE, "targets": [SMALL, replace(SMALL, region=Region(0.5, 0.5, 1.5, 1))]}),
    "inside out": ("render_image", {**PICTURE, "targets": [SMALL, replace(SMALL, region=Region(0.5, 0.5, 0.25, 1))]}),
    "nowhere": ("render_image", {**PICTURE, "targets": [SMALL, replace(SMALL, region=Region(0, float("nan"), 1, 1))]}),
    "nothing to cover": ("redact_image", {**PLACES, "regions": []}),
    "too many to cover": ("redact_image", {**PLACES, "regions": [Region(0, 0, 0.1, 0.1)] * 1001}),
    "cover inside out": ("redact_image", {**PLACES, "regions": [Region(0, 0, 1, 1), Region(0.5, 0, 0.25, 1)]}),
    "cover too often": ("redact_image", {**PLACES, "regions": [Region(0, 0, 1, 1)] * 1000}),
    "cover no picture": ("redact_image", {**PLACES, "content": b"noise"}),
    "no place allowed": ("fetch_media", {"uri": "https://example.com/a.jpg", "field": "images[1].uri"}),
    "no recording": ("convert_audio", {**SOUND, "content": b""}),
    "not a recording": ("convert_audio", {**SOUND, "content": photo()}),
    "too slow": ("convert_audio", {**SOUND, "sample_rate_hertz": 7_999}),
    "no time": ("render_image", {**PICTURE, "deadline": Deadline.after(-1)}),
    "no time for a mistake": ("tokenize", {**TEXT, "texts": [], "deadline": Deadline.after(-1)}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_the_same_errors(adapters, mistake):
    """Code, reason, sentence, facts and the fields named are equal."""
    method, options = MISTAKES[mistake]
    found = []
    for adapter in adapters.values():
        with pytest.raises(errors.MeshError) as caught:
            await getattr(adapter, method)(**{"deadline": Deadline.after(10), **options})
        error = caught.value
        found.append((code_of(error), error.reason, error.message, error.metadata, error.violations))
    assert found[0] == found[1]
