"""After real calls every instrument of the mesh has series with values that make sense."""

from __future__ import annotations

import json
import secrets
import urllib.request
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tritonclient.grpc import service_pb2, service_pb2_grpc

from deploy.local.processes import SERVICES
from maas.nlp.v1 import conversation_pb2, nlp_pb2, nlp_pb2_grpc
from maas.preprocessing.v1 import preprocessing_pb2, preprocessing_pb2_grpc
from maas.router.v1 import router_pb2, router_pb2_grpc
from maas.speech.v1 import speech_pb2, speech_pb2_grpc, synthesis_pb2
from maas.type.v1 import media_pb2
from maas.vision.v1 import vision_pb2, vision_pb2_grpc
from services.mesh.instruments import DECLARED

SAMPLES = Path(__file__).parents[2] / ".build/samples"
# In all that is sent: texts, names of models, of graphs, of methods, metadata.
CANARY = "xyzzy-plugh-canary"
NLP, SPEECH, VISION = "maas.nlp.v1.NlpService", "maas.speech.v1.SpeechService", "maas.vision.v1.VisionService"
PREPROCESSING, ROUTER = "maas.preprocessing.v1.PreprocessingService", "maas.router.v1.RouterService"
# Of a graph: below five the router tells nothing of how long it takes.
RUNS = 5
# What these calls do not bring about; where it is tested instead.
ELSEWHERE = {
    "maas.feedback.answers": "tests/integration/test_feedback.py",
    "maas.feedback.confidence": "tests/integration/test_feedback.py",
    "maas.drift.items": "tests/e2e/test_drift.py",
    "maas.drift.score": "tests/e2e/test_drift.py",
    "maas.server.retried_calls": "tests/integration/test_metrics.py",
    "maas.triton.predicted_wait": "tests/integration/test_triton_statistics.py",
    "maas.router.extra_calls": "tests/integration/test_router_resilience.py",
    "maas.router.variant.calls": "tests/integration/test_router_traffic.py",
    "maas.router.shadow.agreement": "tests/integration/test_router_traffic.py",
}


@dataclass(frozen=True)
class Seen:
    """What the services said before the calls and after them, and what the calls answered."""

    before: Counter[tuple[str, frozenset[tuple[str, str]]]]
    after: Counter[tuple[str, frozenset[tuple[str, str]]]]
    exemplars: frozenset[str]
    trace_id: str
    tokens: tuple[int, int]
    spoken_seconds: float

    def now(self, name: str, **labels: str) -> float:
        """The sum over all services of the samples of a name that have these labels at least."""
        return sum(value for (each, has), value in self.after.items() if each == name and labels.items() <= has)

    def added(self, name: str, **labels: str) -> float:
        """The same, less what it was before."""
        return self.now(name, **labels) - sum(
            value for (each, has), value in self.before.items() if each == name and labels.items() <= has
        )


def scrape(mesh):
    """All samples of all services, and the trace ids of the exemplars."""
    samples = Counter()
    exemplars = set()
    for service in SERVICES:
        url = f"http://127.0.0.1:{getattr(mesh.ports, f'{service}_metrics')}/metrics"
        request = urllib.request.Request(url, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
        assert CANARY not in text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name, frozenset({**sample.labels, "scraped": service}.items())] = sample.value
                if sample.exemplar:
                    exemplars.add(sample.exemplar.labels["trace_id"])
    return samples, frozenset(exemplars)


def sound() -> Iterator[preprocessing_pb2.StreamingConvertAudioRequest]:
    """The recording, in chunks."""
    content = (SAMPLES / "ask-not.wav").read_bytes()
    yield preprocessing_pb2.StreamingConvertAudioRequest(config={"sample_rate_hertz": 16_000})
    for begin in range(0, len(content), 65_536):
        yield preprocessing_pb2.StreamingConvertAudioRequest(content=content[begin : begin + 65_536])


@pytest.fixture(scope="module")
def seen(mesh, wait_for: Callable[..., None]) -> Seen:
    """A set of real calls through the gateway, one of them sampled."""
    trace_id = secrets.token_hex(16)
    before, _ = scrape(mesh)
    text = f"{CANARY} {secrets.token_hex(8)}"
    image = media_pb2.Image(content=(SAMPLES / "coffee.png").read_bytes())
    audio = media_pb2.Audio(content=(SAMPLES / "ask-not.wav").read_bytes())
    with grpc.insecure_channel(mesh.address) as channel:
        nlp, vision = nlp_pb2_grpc.NlpServiceStub(channel), vision_pb2_grpc.VisionServiceStub(channel)
        speech, router = speech_pb2_grpc.SpeechServiceStub(channel), router_pb2_grpc.RouterServiceStub(channel)
        preprocessing = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
        canary = [("baggage", f"a={CANARY}"), ("canary", CANARY)]
        for _ in range(2):
            nlp.AnalyzeSentiment(nlp_pb2.AnalyzeSentimentRequest(contents=[text]), timeout=60, metadata=canary)
        reply = nlp.GenerateReply(
            conversation_pb2.GenerateReplyRequest(
                messages=[conversation_pb2.ChatMessage(role=conversation_pb2.ROLE_USER, content=text)],
                parameters=conversation_pb2.GenerationParameters(max_tokens=8),
            ),
            timeout=120,
        )
        speech.Recognize(speech_pb2.RecognizeRequest(audio=audio), timeout=120)
        spoken = speech.SynthesizeSpeech(synthesis_pb2.SynthesizeSpeechRequest(text=CANARY), timeout=60)
        list(preprocessing.StreamingConvertAudio(sound(), timeout=60))
        look = router_pb2.RunGraphRequest(graph="look-twice", inputs={"photo": router_pb2.Value(data=image.content)})
        for _ in range(RUNS):
            router.RunGraph(look, timeout=60)
        # After those of the graph: of each bucket the last call is the exemplar.
        vision.ClassifyImage(
            vision_pb2.ClassifyImageRequest(image=image),
            timeout=60,
            metadata=[("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")],
        )
        for refused in (
            lambda: vision.ClassifyImage(vision_pb2.ClassifyImageRequest(image=image, model=CANARY), timeout=60),
            lambda: router.RunGraph(router_pb2.RunGraphRequest(graph=CANARY), timeout=60),
            lambda: channel.unary_unary(f"/{NLP}/{CANARY}")(b"", timeout=10),
        ):
            with pytest.raises(grpc.RpcError):
                refused()
    last = {"rpc_method": f"{ROUTER}/RunGraph", "rpc_response_status_code": "NOT_FOUND"}.items()
    wait_for(
        lambda: any(
            name == "rpc_server_call_duration_seconds_count" and last <= labels for name, labels in scrape(mesh)[0]
        ),
        "the last call is counted",
        10,
    )
    after, exemplars = scrape(mesh)
    tokens = reply.usage.input_tokens, reply.usage.output_tokens
    return Seen(before, after, exemplars, trace_id, tokens, spoken.duration.ToTimedelta().total_seconds())


@pytest.mark.parametrize("name", sorted(DECLARED.keys() - ELSEWHERE.keys()))
def test_every_instrument_has_series(seen: Seen, name: str):
    """What is declared is exposed, under its name in Prometheus, by at least one service."""
    known = DECLARED[name]
    exposed = name.replace(".", "_") + ("_seconds" if known.unit == "s" else "")
    exposed += {"counter": "_total", "histogram": "_count"}.get(known.kind, "")
    assert exposed in {each for each, _ in seen.after}


def test_every_series_is_declared(seen: Seen):
    """With its labels; what prometheus_client and OpenTelemetry tell of the process itself is theirs."""
    declared = {
        name.replace(".", "_"): {label.replace(".", "_") for label in DECLARED[name].labels} for name in DECLARED
    }
    for name, labels in seen.after:
        if not name.startswith(("process_", "python_", "target_")):
            known = [declared[each] for each in declared if name.startswith(each)]
            assert any({label for label, _ in labels} - {"scraped", "le"} <= each for each in known), name


def test_calls_are_counted_with_their_outcome(seen: Seen):
    """Those answered, those refused, and those that services made for them; none is still under way."""
    calls = "rpc_server_call_duration_seconds_count"
    assert seen.added(calls, rpc_method=f"{NLP}/AnalyzeSentiment", rpc_response_status_code="OK") == 2
    assert seen.added(calls, rpc_method=f"{VISION}/ClassifyImage", rpc_response_status_code="NOT_FOUND") == 1
    assert seen.added(calls, rpc_method=f"{ROUTER}/RunGraph", rpc_response_status_code="NOT_FOUND") == 1
    made = {"rpc_method": f"{VISION}/DetectObjects", "rpc_response_status_code": "OK", "scraped": "router"}
    assert seen.added("rpc_client_call_duration_seconds_count", **made) == RUNS
    assert seen.now("maas_server_active_calls") == 0
    assert seen.now("maas_stream_active") == 0
    assert seen.now("maas_model_active_calls") == 0


def test_calls_of_models_are_counted(seen: Seen):
    """Per execution, with what the model says of waiting and computing; the computing is a part of the call."""
    model = {"maas_model": "efficientnet-lite0", "scraped": "vision"}
    assert seen.added("maas_model_call_duration_seconds_count", **model, rpc_response_status_code="OK") == RUNS + 1
    assert seen.added("maas_model_compute_duration_seconds_count", **model) == RUNS + 1
    assert seen.added("maas_model_queue_duration_seconds_count", **model) == RUNS + 1
    whole = seen.added("maas_model_call_duration_seconds_sum", **model)
    assert 0 < seen.added("maas_model_compute_duration_seconds_sum", **model) < whole
    assert seen.added("maas_model_batch_size_sum", **model) == RUNS + 1


def test_the_second_of_equal_texts_comes_from_the_cache(seen: Seen):
    """Nothing else that was asked is asked again."""
    lookups = "maas_cache_lookups_total"
    assert seen.added(lookups, cache="nlp", outcome="hit", scraped="nlp") == 1
    assert seen.added(lookups, cache="nlp", outcome="miss", scraped="nlp") >= 1


def test_tokens_are_those_of_the_answer(seen: Seen):
    """What the metric counts is what the caller was told, and the first token came once."""
    name = "gen_ai_client_token_usage_sum"
    counted = [seen.added(name, gen_ai_token_type=kind, scraped="nlp") for kind in ("input", "output")]
    assert counted == list(seen.tokens)
    assert min(counted) > 0
    assert seen.added("gen_ai_server_time_to_first_token_seconds_count", scraped="nlp") == 1


def test_sound_is_counted_in_seconds(seen: Seen):
    """As long as the clip is, for whoever takes it in; as long as the answer says, for what is spoken."""
    with wave.open(str(SAMPLES / "ask-not.wav")) as clip:
        seconds = clip.getnframes() / clip.getframerate()
    name = "maas_audio_duration_seconds_total"
    recognized = {"rpc_method": f"{SPEECH}/Recognize", "maas_direction": "in"}
    assert seen.added(name, **recognized) == pytest.approx(seconds, abs=0.01)
    # By the speech service for its recording, and by the stream of this test.
    converted = {"rpc_method": f"{PREPROCESSING}/StreamingConvertAudio", "maas_direction": "in"}
    assert seen.added(name, **converted) == pytest.approx(2 * seconds, abs=0.01)
    spoken = {"rpc_method": f"{SPEECH}/SynthesizeSpeech", "maas_direction": "out"}
    assert seen.added(name, **spoken) == pytest.approx(seen.spoken_seconds, abs=0.01)
    assert seen.spoken_seconds > 0


def test_the_ready_models_are_those_in_triton(mesh, seen: Seen):
    """Each model in Triton that does a task of some service is 1 there, and every one that is 1 is in Triton."""
    with grpc.insecure_channel(f"127.0.0.1:{mesh.ports.triton_grpc}") as channel:
        triton = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        index = triton.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=10).models
    ready = "maas_model_ready"
    told = {dict(labels)["maas_model"] for (name, labels), value in seen.after.items() if name == ready and value}
    # That with which the guard sees whether Triton works.
    assert told == {model.name for model in index if model.state == "READY"} - {"canary"}


def test_a_bucket_leads_to_the_trace_of_its_call(seen: Seen):
    """A sampled call's trace id is an exemplar of the services that answered it."""
    assert seen.trace_id in seen.exemplars


def test_nobody_makes_series_by_what_he_writes(seen: Seen):
    """Label values are methods that are served, models in Triton, codes and words of ours; `scrape` saw no canary."""
    methods = {dict(labels).get("rpc_method", "") for _, labels in seen.after}
    assert all(method.startswith(("maas.", "inference.")) for method in methods - {""})
    models = {dict(labels).get("maas_model", "") for _, labels in seen.after}
    ready = {dict(labels)["maas_model"] for name, labels in seen.after if name == "maas_model_ready"}
    assert models - {"", "other"} <= ready


def test_logs_have_a_line_for_each_call_and_nothing_of_what_was_sent(mesh, seen: Seen):
    """In JSON, also what libraries say; the sampled call can be found by its trace in each service that it went to."""
    logs = {service: (mesh.run_directory / "logs" / f"{service}.log").read_text() for service in SERVICES}
    lines = {service: [json.loads(line) for line in text.splitlines()] for service, text in logs.items()}
    assert [service for service, text in logs.items() if CANARY in text] == []
    assert CANARY not in (mesh.run_directory / "logs" / "triton.log").read_text()
    for service in ("vision", "preprocessing"):
        assert [line for line in lines[service] if line["event"] == "call" and line.get("trace_id") == seen.trace_id]
    (classified,) = [line for line in lines["vision"] if line.get("trace_id") == seen.trace_id]
    assert classified["models"] == ["efficientnet-lite0"]
    assert {"preprocess", "compute"} <= classified["stages"].keys()
    assert classified["bytes_in"] > (SAMPLES / "coffee.png").stat().st_size
    # Other tests on this mesh are refused for other reasons.
    assert "MODEL_NOT_FOUND" in {line["reason"] for line in lines["vision"] if line.get("code") == "NOT_FOUND"}


def test_processes_tell_of_themselves(seen: Seen):
    """Processor, memory, files and garbage of each; the loop of each was looked at, and was on time at least once."""
    for service in SERVICES:
        assert seen.now("process_cpu_seconds_total", scraped=service) > 0
        assert seen.now("process_resident_memory_bytes", scraped=service) > 1e7
        assert seen.now("process_open_fds", scraped=service) > 0
        assert seen.now("python_gc_collections_total", scraped=service) > 0
        assert seen.now("maas_event_loop_lag_seconds_count", scraped=service) > 0
