"""The collector's configuration, read and not run: no collector is in the package registries.

What is checked is what would go wrong silently: the order of processors, what is kept, and what may be in a trace.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from deploy.drain import LONGEST_CALL_SECONDS
from deploy.local.settings import REPOSITORY
from services.mesh import instruments

FOLDER = REPOSITORY / "deploy" / "k8s" / "components" / "tracing"


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / f"{name}.config.yaml").read_text())


@pytest.mark.parametrize("name", ["collector", "jaeger"])
def test_what_a_pipeline_names_is_configured(name: str) -> None:
    """Receivers, processors, exporters and extensions that are used are those that are there."""
    configuration = read(name)
    for kind in ("receivers", "processors", "exporters"):
        used = {each for pipeline in configuration["service"]["pipelines"].values() for each in pipeline[kind]}
        assert used == set(configuration[kind])
    assert set(configuration["service"]["extensions"]) == set(configuration["extensions"])


@pytest.mark.parametrize("name", ["collector", "jaeger"])
def test_ports_are_those_of_the_pod(name: str) -> None:
    """Every address of the configuration is a port of the container, and listens beyond the loopback."""
    text = (FOLDER / f"{name}.config.yaml").read_text()
    listens = set(re.findall(r'"0\.0\.0\.0:(\d+)"', text)) | set(re.findall(r"host: 0\.0\.0\.0, port: (\d+)", text))
    documents = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
    deployment = next(each for each in documents if each["kind"] == "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert listens == {str(port["containerPort"]) for port in container["ports"]}


def test_processors_are_in_an_order_that_works() -> None:
    """Memory first; what does not belong there goes before anything is kept; batches are made of what was chosen."""
    order = read("collector")["service"]["pipelines"]["traces"]["processors"]
    assert order == ["memory_limiter", "redaction", "tail_sampling", "batch"]


def test_errors_and_slow_calls_are_always_kept() -> None:
    """Any policy that holds keeps the trace; of the rest a part."""
    policies = {each["type"]: each for each in read("collector")["processors"]["tail_sampling"]["policies"]}
    assert policies["status_code"]["status_code"] == {"status_codes": ["ERROR"]}
    assert policies["latency"]["latency"]["threshold_ms"] == 2000
    assert 0 < policies["probabilistic"]["probabilistic"]["sampling_percentage"] < 100


def test_the_longest_call_ends_before_its_trace_is_decided() -> None:
    """A failure at its end is seen; ids of what is decided outlast the spans, and all that waits has room in memory."""
    sampling = read("collector")["processors"]["tail_sampling"]
    seconds = {name: int(sampling[name].removesuffix("s")) for name in sampling if name.startswith("decision_wait")}
    # Services send their spans every five seconds.
    assert seconds["decision_wait"] >= LONGEST_CALL_SECONDS + 15
    assert 10 <= seconds["decision_wait_after_root_received"] < 60
    assert all(size > sampling["num_traces"] for size in sampling["decision_cache"].values())
    documents = yaml.safe_load_all((FOLDER / "collector.yaml").read_text())
    deployment = next(each for each in documents if each["kind"] == "Deployment")
    memory = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    limit = read("collector")["processors"]["memory_limiter"]["limit_percentage"] / 100
    assert sampling["num_traces"] * 20_000 <= int(memory.removesuffix("Gi")) * 2**30 * limit


def test_models_of_triton_are_in_its_spans() -> None:
    """Which model and version a span of Triton is about, but not the id that a caller gave."""
    allowed = read("collector")["processors"]["redaction"]["allowed_keys"]
    assert {"triton.model_name", "triton.model_version"} <= {*allowed}
    assert "triton.request_id" not in allowed


def test_what_is_on_no_list_is_dropped() -> None:
    """Addresses, queries, user agents and credentials are on none; tokens are found by their form as well."""
    redaction = read("collector")["processors"]["redaction"]
    allowed = redaction["allowed_keys"]
    assert redaction["allow_all_keys"] is False
    assert len(set(allowed)) == len(allowed)
    assert not {
        "http.url",
        "url.path",
        "url.full",
        "user_agent",
        "peer.address",
        "authorization",
        "exception.message",
    } & {*allowed}
    blocked = [re.compile(pattern) for pattern in redaction["blocked_values"]]
    for secret in ("Bearer abc.def-123", "bearer x", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_"):
        assert any(pattern.search(secret) for pattern in blocked), secret
    assert not any(pattern.search("maas.nlp.v1.NlpService/AnalyzeSentiment") for pattern in blocked)


def test_labels_of_metrics_may_be_in_traces() -> None:
    """Who goes from a metric to a trace finds the same words there."""
    allowed = read("collector")["processors"]["redaction"]["allowed_keys"]
    assert {instruments.METHOD, instruments.CODE, instruments.MODEL, instruments.GENERATOR, instruments.GRAPH} <= set(
        allowed
    )
