"""Preprocessing in the caller's process: what is refused, what never begins, its span and its settings."""

import asyncio
import resource
import threading
import warnings

import pytest
from PIL import Image
from tokenizers import Tokenizer, models

from services.mesh import errors
from services.mesh.backends import ModelServer
from services.mesh.deadline import Deadline
from services.mesh.ports import Target
from services.mesh.preprocessing import RemotePreprocessor
from services.mesh.settings import IN_PROCESS
from services.mesh.testing import FakeInference, known_models
from services.nlp.settings import Settings
from services.preprocessing.access import open_preprocessor
from services.preprocessing.local import LocalPreprocessor
from services.preprocessing.pipelines.fetch.fetcher import Fetcher
from services.preprocessing.pipelines.image import render
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.pipelines.languages import LanguageIdentifier
from services.preprocessing.pipelines.sound.sounds import Sounds
from services.preprocessing.pipelines.sound.stream import SoundStreamer
from services.preprocessing.pipelines.tokens import Tokenizers
from services.preprocessing.pipelines.video.extract import FrameExtractor
from services.preprocessing.pipelines.workers import Workers

ADDRESSES = {"listen_address": "127.0.0.1:0", "metrics_address": "127.0.0.1:0", "triton_address": "127.0.0.1:1"}


@pytest.fixture
def photo(saved):
    return saved(Image.linear_gradient("L").convert("RGB"), "PNG")


@pytest.fixture
def assets(tmp_path):
    """A directory of assets with one tokenizer."""
    (tmp_path / "tokenizers").mkdir()
    tokenizer = Tokenizer(models.WordLevel({"?": 1}, unk_token="?"))  # noqa: S106 - no secret
    tokenizer.save(str(tmp_path / "tokenizers" / "tiny.json"))
    return tmp_path


class NoModels:
    """A server on which no model is ready."""

    async def list_models(self, known):
        return {}, set()


def server() -> ModelServer:
    return ModelServer(FakeInference(lambda *_: {}), NoModels(), poll_seconds=2)


async def on(workers, **tokenizers) -> LocalPreprocessor:
    inference, known = FakeInference(lambda *_: {}), await known_models()
    pipelines = InputPipelines(
        Tokenizers(tokenizers),
        workers,
        LanguageIdentifier(inference, known),
        Fetcher(),
        extractor=FrameExtractor(),
        sounds=Sounds(SoundStreamer(), inference, known),
    )
    return LocalPreprocessor(pipelines)


class Slow:
    """Stands in for the decoding of a picture: says when it begins, and ends when it is let."""

    def __init__(self, monkeypatch):
        self.begun = 0
        self.leave = threading.Event()
        self._render = render.render
        monkeypatch.setattr(render, "render", self)

    def __call__(self, *args, **options):
        self.begun += 1
        assert self.leave.wait(10)
        return self._render(*args, **options)


def ask(local, photo, seconds=10.0):
    deadline = Deadline.after(seconds)
    return asyncio.create_task(local.render_image(photo, [Target(8, 8, "stretch")], deadline=deadline))


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_too_many_at_once(monkeypatch, photo):
    """Beyond the threads and waiting places a call is refused with a time to come back; the others are answered."""
    slow = Slow(monkeypatch)
    with Workers(threads=1, max_waiting=1) as workers:
        local = await on(workers)
        running = ask(local, photo)
        await until(lambda: slow.begun)
        waiting = ask(local, photo)
        await until(lambda: workers.waiting)
        with pytest.raises(errors.Exhausted) as caught:
            await ask(local, photo)
        assert (caught.value.reason, caught.value.retry_after_seconds) == ("QUEUE_FULL", 0.5)
        slow.leave.set()
        assert (await running)[0].pixels.shape == (8, 8, 3)
        assert (await waiting)[0].pixels.shape == (8, 8, 3)


async def test_what_nobody_waits_for_never_begins(monkeypatch, photo):
    """A call that is cancelled while it waits is never decoded, and one whose deadline passes while it runs ends."""
    slow = Slow(monkeypatch)
    with Workers(threads=1, max_waiting=8) as workers:
        local = await on(workers)
        late = ask(local, photo, seconds=0.2)
        await until(lambda: slow.begun)
        cancelled = ask(local, photo)
        await until(lambda: workers.waiting)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert workers.waiting == 0
        with pytest.raises(errors.DeadlineExceeded):
            await late
        slow.leave.set()
        assert (await ask(local, photo))[0].source_width == 256
    assert slow.begun == 2


async def test_too_little_memory(monkeypatch, photo):
    """A picture for which the process has no room at the moment is not called bad: the same call may succeed later."""
    monkeypatch.setattr(render, "decode", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
    with (
        Workers(threads=1, max_waiting=0) as workers,
        pytest.raises(errors.Exhausted, match="too little memory") as caught,
    ):
        await ask(await on(workers), photo)
    assert caught.value.retry_after_seconds > 0


async def test_a_span_each(spans, photo):
    """The work is one span named after the RPC that it replaces, with the reason when it fails."""
    with Workers(threads=1, max_waiting=0) as workers:
        local = await on(workers)
        await ask(local, photo)
        with pytest.raises(errors.InvalidArgument):
            await ask(local, b"noise")
    good, bad = spans.get_finished_spans()
    assert good.name == bad.name == "preprocess RenderImage"
    assert good.status.is_ok or good.status.is_unset
    assert "error.type" not in good.attributes
    assert (bad.status.is_ok, bad.attributes["error.type"]) == (False, "INVALID_ARGUMENT")
    assert not bad.events


async def test_spans_of_texts(spans):
    """Sentences and languages have a span each too, the latter with the reason when the model is not there."""
    with Workers(threads=1, max_waiting=0) as workers:
        local = await on(workers)
        deadline = Deadline.after(10)
        await local.segment(["A good film."], language_codes=[], deadline=deadline)
        with pytest.raises(errors.Unavailable):
            await local.detect_language(["A good film."], deadline=deadline)
    found = [(span.name, span.attributes.get("maas.error.reason")) for span in spans.get_finished_spans()]
    assert found == [("preprocess SegmentText", None), ("preprocess DetectLanguage", "MODEL_LOADING")]


async def test_in_process_by_a_setting(assets):
    """With the word in place of an address the work is done here, with the tokenizers of the assets directory."""
    settings = Settings(**ADDRESSES, preprocessing_address=IN_PROCESS, assets_directory=assets)
    async with open_preprocessor(settings)(server()) as preprocessor:
        assert isinstance(preprocessor, LocalPreprocessor)
        tokens = await preprocessor.tokenize(["?"], tokenizer="tiny", max_tokens=8, deadline=Deadline.after(10))
        assert (await preprocessor.detect_language(["\u4f60\u597d"], deadline=Deadline.after(10)))[
            0
        ].language_code == "zh"
        with pytest.raises(errors.Unavailable):
            await preprocessor.detect_language(["hello"], deadline=Deadline.after(10))
    assert tokens.input_ids.tolist() == [[1]]


async def test_by_default_the_service_is_asked():
    """An address needs no assets."""
    opening = open_preprocessor(Settings(**ADDRESSES, preprocessing_address="127.0.0.1:1"))
    async with opening(server()) as preprocessor:
        assert isinstance(preprocessor, RemotePreprocessor)


def test_in_process_without_assets_does_not_start():
    """The sentence names the variable that is missing."""
    with pytest.raises(ValueError, match="NLP_ASSETS_DIRECTORY is missing"):
        Settings(**ADDRESSES, preprocessing_address=IN_PROCESS)


async def test_places_of_media_by_a_setting(assets):
    """Prefixes are written with commas between; what is no address stops the start; none are allowed by default."""
    local = {**ADDRESSES, "preprocessing_address": IN_PROCESS, "assets_directory": assets}
    assert Settings(**local).media_sources == ()
    settings = Settings(**local, media_sources="https://images.example.com/, s3://bucket/photos/,")
    assert settings.media_sources == ("https://images.example.com/", "s3://bucket/photos/")
    async with open_preprocessor(settings)(server()) as preprocessor:
        with pytest.raises(errors.InvalidArgument, match=r"other_image\.uri: names a place that the operator"):
            await preprocessor.fetch_media("gs://bucket/a", field="other_image.uri", deadline=Deadline.after(10))
    with pytest.raises(ValueError, match="MEDIA_SOURCES"):
        async with open_preprocessor(Settings(**local, media_sources="photos"))(server()):
            pass


def test_places_of_media_from_the_environment(monkeypatch, assets):
    """The variable is as the README says."""
    monkeypatch.setenv("NLP_MEDIA_SOURCES", "https://a.example/,https://b.example/")
    settings = Settings(**ADDRESSES, preprocessing_address=IN_PROCESS, assets_directory=assets)
    assert settings.media_sources == ("https://a.example/", "https://b.example/")


async def test_the_process_is_guarded_while_files_are_opened(assets):
    """A decoder gets no more memory than the setting says, and Pillow's warnings are not kept; both only meanwhile."""
    limit = 64 * 1024**3
    before = resource.getrlimit(resource.RLIMIT_DATA)
    filters = list(warnings.filters)
    settings = Settings(**ADDRESSES, preprocessing_address=IN_PROCESS, assets_directory=assets, max_memory_bytes=limit)
    async with open_preprocessor(settings)(server()):
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == limit
        assert warnings.filters[0][0] == "ignore"
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert list(warnings.filters) == filters
