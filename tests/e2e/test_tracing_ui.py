"""The tracing UI in a real browser: a person who follows the link of a call sees where its time went."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
import yaml
from playwright.sync_api import Page, expect, sync_playwright

from deploy.local.browser import find
from deploy.local.settings import REPOSITORY
from services.cli.waterfall import fetch

ARTEFACTS = REPOSITORY / ".build" / "artefacts"
# A graph that asks twice at the same time, and what a person looks for in its waterfall.
GRAPH = ("graph", "run", "look-twice", "--input", "photo=@.build/samples/coffee.png")
SERVICES = ("gateway", "router", "vision", "preprocessing", "triton")
SPANS = (
    "maas.router.v1.RouterService/RunGraph",
    "node classify",
    "node detect",
    "maas.vision.v1.VisionService/ClassifyImage",
    "maas.vision.v1.VisionService/DetectObjects",
    "maas.preprocessing.v1.PreprocessingService/RenderImage",
    "triton queue",
    "triton compute",
)
COLLECTOR = REPOSITORY / "deploy" / "k8s" / "components" / "tracing" / "collector.config.yaml"
# As quiet as a browser can be made: it asks nobody but the page that it shows.
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    """A page of a headless Chromium with an empty profile."""
    program = find()
    if program is None:
        # Browsers come with the system's packages alone, and without root nobody can install one here.
        reason = "no Chromium: run `make test-tools` as root, or put chromium or google-chrome on PATH"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=program,
            args=list(ARGUMENTS),
            headless=True,
            viewport={"width": 1520, "height": 1080},
        )
        yield context.new_page()
        context.close()


@pytest.fixture(scope="module")
def trace(mesh, wait_for) -> str:
    """A graph was run; the address of its trace, as the command prints it."""
    command = [sys.executable, "-m", "services.cli", *GRAPH]
    done = subprocess.run(command, env=mesh.environment, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    link = next(word for word in done.stderr.split() if "#trace=" in word)
    ui, trace_id = f"127.0.0.1:{mesh.ports.tracing_http}", link.partition("#trace=")[2]
    wait_for(lambda: {span.service for span in fetch(ui, trace_id)} >= set(SERVICES), "all spans are there", 20)
    return link


def test_the_waterfall_shows_every_service_and_triton_inside(page: Page, trace: str):
    """The link opens the trace itself: each span with its whole name, a model's waiting and computing among them."""
    page.goto(trace)
    for text in SPANS:
        name = page.get_by_text(text, exact=True).last
        expect(name).to_be_visible(timeout=15_000)
        assert name.evaluate("element => element.scrollWidth <= element.clientWidth"), f"{text} is cut off"
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / "waterfall.png")


def test_a_span_tells_that_it_happened_inside_triton(page: Page, trace: str):
    """Who clicks on a model's computing sees the service it belongs to, and which model it was."""
    page.goto(trace)
    page.get_by_text("triton compute", exact=True).first.click()
    for text in ("Derived Resource", "triton", "maas.model"):
        expect(page.get_by_text(text, exact=True).first).to_be_visible(timeout=15_000)
    page.screenshot(path=ARTEFACTS / "waterfall-triton.png")


def test_the_map_has_every_service(page: Page, trace: str):
    """Who calls whom, drawn from the calls that were made."""
    page.goto(trace)
    page.get_by_role("button", name="Service Map").click()
    for service in SERVICES:
        expect(page.get_by_text(service, exact=True).first).to_be_visible(timeout=15_000)
    page.screenshot(path=ARTEFACTS / "service-map.png")


def test_the_collector_lets_through_what_services_record(mesh, trace: str):
    """On Kubernetes an attribute that is on no list is dropped: none that our services record is forgotten there."""
    url = f"http://127.0.0.1:{mesh.ports.tracing_http}/api/query/traces"
    query = json.dumps({"query": f"trace_id = {trace.partition('#trace=')[2]}", "limit": 1}).encode()
    request = urllib.request.Request(url, query, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        spans = json.load(answer)["traces"][0]["spans"]
    recorded = {key for span in spans if span["attributes"]["service.name"] != "gateway" for key in span["attributes"]}
    allowed = yaml.safe_load(COLLECTOR.read_text())["processors"]["redaction"]["allowed_keys"]
    assert recorded - set(allowed) == set()
