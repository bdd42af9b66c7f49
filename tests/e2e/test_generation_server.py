"""The language model on the real Triton, whichever size was built here, through the adapter that services use."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import numpy as np
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from deploy.local.settings import REPOSITORY, LocalSettings
from deploy.local.triton.processes import model_processes
from deploy.models.build import HERE
from deploy.models.catalog import Model, load
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.settings import TritonSettings
from services.mesh.triton import open_triton
from tests.e2e.metrics import tokens_written

BUILD = LocalSettings().build
OUTPUTS = ["text_output", "finish_reason", "num_input_tokens", "num_output_tokens"]
LONG = "Write a very long story about a ship and its crew."


class Server:
    """A Triton with the language model and the canary, on free ports."""

    def __init__(self, directory: Path) -> None:
        (path,) = (BUILD / "models").glob("qwen-coder-*")
        self.model = path.name
        self.entry = load(HERE / "catalog" / f"{self.model}.yaml", Model)
        self.slots, self.waiting = (int(self.entry.runtime.parameters[name]) for name in ("slots", "waiting"))
        (directory / "models").mkdir()
        for name in ("canary", self.model):
            (directory / "models" / name).symlink_to((BUILD / "models" / name).resolve())
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.grpc, http, self.metrics = (one.getsockname()[1] for one in sockets)
        for one in sockets:
            one.close()
        settings = {
            "GRPC_PORT": self.grpc,
            "HTTP_PORT": http,
            "METRICS_PORT": self.metrics,
            "SERVER_DIRECTORY": BUILD / "tritonserver",
            "MODEL_REPOSITORY": directory / "models",
            "RUN_DIRECTORY": directory / "run",
        }
        self.log = directory / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local.triton"],
                cwd=REPOSITORY,
                env=os.environ | {f"TRITON_{name}": str(value) for name, value in settings.items()},
                stdout=log,
                stderr=log,
            )

    def answers(self) -> bool:
        """Whether all its models were loaded."""
        assert self.process.poll() is None, self.log.read_text()
        return "triton answers" in self.log.read_text()

    def kill_model(self) -> None:
        """Kill the language model's process."""
        guard = self.process.pid
        (triton,) = Path(f"/proc/{guard}/task/{guard}/children").read_text().split()
        (victim,) = [one for one in model_processes(int(triton)).values() if one.model == self.model]
        os.kill(victim.pid, signal.SIGKILL)

    def tokens(self) -> int:
        """How many the model has written since it was loaded."""
        return tokens_written(self.metrics)


class Client:
    """Asks the model as the nlp service does."""

    def __init__(self, server: Server, inference) -> None:
        self.server, self._inference = server, inference
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        self._template = environment.from_string(server.entry.preprocess["chat_template"])

    def pieces(self, text, *, stream=True, seconds=300, **sampling):
        """The answer to one message, piece by piece."""
        messages = [{"role": "user", "content": text}]
        prompt = self._template.render(messages=messages, add_generation_prompt=True)
        inputs = {
            "text_input": np.array([prompt.encode()], object),
            "stream": np.array([stream]),
            "sampling_parameters": np.array([json.dumps(sampling).encode()], object),
        } | {f"return_{name}": np.array([True]) for name in OUTPUTS[1:]}
        return self._inference.stream(self.server.model, inputs, OUTPUTS, deadline=Deadline.after(seconds))

    async def ask(self, text, **sampling):
        """The whole answer: its pieces, and all that the last response says."""
        answers = [answer async for answer in self.pieces(text, **({"temperature": 0} | sampling))]
        texts = [answer["text_output"].item().decode() for answer in answers]
        assert {answer["finish_reason"].item() for answer in answers[:-1]} <= {b""}
        last = {name: answers[-1][name].item() for name in OUTPUTS[1:]}
        written = sum(answer["num_output_tokens"].item() for answer in answers)
        return "".join(texts), last | {"pieces": texts, "num_output_tokens": written}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, wait_for: Callable[..., None]) -> Iterator[Server]:
    """One server for all tests here."""
    running = Server(tmp_path_factory.mktemp("generation"))
    wait_for(running.answers, "Triton answers", 180)
    yield running
    running.process.terminate()
    running.process.wait(60)


@pytest.fixture
async def client(server: Server):
    """A connection of its own for each test, whose event loop is its own too."""
    async with open_triton(TritonSettings(triton_address=f"127.0.0.1:{server.grpc}")) as inference:
        yield Client(server, inference)


async def test_an_easy_question(client):
    """The likeliest answer is the right one, it comes in pieces, and it ends with its reason and the counts."""
    text, last = await client.ask("What is the capital of France?", max_tokens=40)
    assert "Paris" in text
    assert last["finish_reason"] == b"stop"
    assert len(last["pieces"]) > 3
    assert len(last["pieces"]) <= last["num_output_tokens"] <= 40
    assert 20 < last["num_input_tokens"] < 60


async def test_one_response(client):
    """Without `stream` the same text comes at once."""
    whole, last = await client.ask("What is the capital of France?", max_tokens=40, stream=False)
    text, _ = await client.ask("What is the capital of France?", max_tokens=40)
    assert last["pieces"] == [whole] == [text]


async def test_a_seed_repeats_a_text(client):
    """The same seed draws the same text again, another seed another one."""
    ask = {"text": "Invent a name for a cat, and its story.", "temperature": 1.0, "max_tokens": 16}
    await client.ask(**ask | {"max_tokens": 1})  # all three find the prompt read
    first, again, other = [(await client.ask(**ask, seed=seed))[0] for seed in (7, 7, 8)]
    assert first == again != other


async def test_a_stop_sequence(client):
    """The text ends before the sequence, which is nowhere in it, although it begins and ends inside of pieces."""
    question = "What is the capital of France?"
    whole, _ = await client.ask(question, max_tokens=40)
    stop = whole[len(whole) // 2 : len(whole) // 2 + 6]
    text, last = await client.ask(question, max_tokens=40, stop=[stop])
    assert text == whole.partition(stop)[0]
    assert last["finish_reason"] == b"stop"


async def test_the_longest_answer(client):
    """A text that has no end yet is cut at max_tokens, and says so."""
    _, last = await client.ask(LONG, max_tokens=9)
    assert (last["finish_reason"], last["num_output_tokens"]) == (b"length", 9)


async def test_a_schema_is_obeyed(client):
    """Whatever the temperature and the question, the text is JSON that fits."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 30}, "size": {"enum": ["small", "large"]}},
        "required": ["city", "size"],
        "additionalProperties": False,
    }
    text, last = await client.ask(
        "Tell me a joke.", max_tokens=60, temperature=1.5, seed=3, guided_decoding={"json": schema}
    )
    assert last["finish_reason"] == b"stop"
    answer = json.loads(text)
    assert answer.keys() == {"city", "size"}
    assert answer["size"] in {"small", "large"}


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        ({"guided_decoding": {"json": {"type": "nonsense"}}}, "guided_decoding.json cannot be followed"),
        ({"temperature": "hot"}, "sampling_parameters.temperature must be a number"),
        ({"max_tokens": 4090}, "max_tokens is 4090: together they may be 4096"),
    ],
)
async def test_a_wrong_request(client, sampling, words):
    """What is wrong is said to the caller, with the limit."""
    with pytest.raises(errors.InvalidArgument, match=re.escape(words)):
        await client.ask("Hello.", **sampling)


async def test_a_prompt_that_is_too_long(client):
    """The error counts the prompt's tokens."""
    with pytest.raises(errors.InvalidArgument, match=r"the prompt has 50\d\d tokens and max_tokens is 5"):
        await client.ask("no " * 5000, max_tokens=5)


async def test_chinese_pieces_are_whole(client):
    """No piece ends inside a character."""
    text, last = await client.ask("请用中文写一首关于春天的短诗,每行结尾加一个表情符号。", max_tokens=40)
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 10
    assert "\N{REPLACEMENT CHARACTER}" not in text
    assert len(last["pieces"]) > 10


async def test_texts_grow_together(client):
    """Four at once take turns: each has begun long before any has ended."""
    begun: list[int] = []
    ended: list[int] = []

    async def write(number):
        read = 0
        async for _ in client.pieces(f"{number}. {LONG}", temperature=0, max_tokens=24):
            read += 1
            if read == 4:
                begun.append(number)
                assert not ended
        ended.append(number)

    await asyncio.gather(*map(write, range(client.server.slots)))
    assert len(begun) == len(ended) == 4


async def test_a_cancelled_text_frees_its_slot(client):
    """While all slots write long texts another request waits; when one of them is cancelled it is answered."""
    async with AsyncExitStack() as stack:
        long = [
            await stack.enter_async_context(aclosing(client.pieces(f"{number}. {LONG}", temperature=0, max_tokens=600)))
            for number in range(client.server.slots)
        ]
        for pieces in long:
            await anext(pieces)
        waiting = asyncio.create_task(client.ask("Hello.", max_tokens=1))
        for _ in range(4):
            await anext(long[1])
        assert not waiting.done()
        await long[0].aclose()
        _, last = await waiting
        assert last["num_output_tokens"] == 1
        for pieces in long[1:]:
            assert (await anext(pieces))["finish_reason"].item() == b""


async def test_a_cancelled_text_is_not_written(client):
    """The engine's own count stands still once a text was cancelled."""
    before = client.server.tokens()
    async with aclosing(client.pieces(LONG, temperature=0, max_tokens=2000)) as pieces:
        await anext(pieces)
    await client.ask("Hello.", max_tokens=1)
    cancelled = client.server.tokens() - before
    assert 2 <= cancelled < 60
    await client.ask("Hello.", max_tokens=1)
    assert client.server.tokens() - before == cancelled + 1


async def test_the_queue_is_bounded(client):
    """What fits neither in the slots nor in the queue is refused at once, and what waits can be cancelled."""
    room = client.server.slots + client.server.waiting
    tasks = [asyncio.create_task(client.ask(f"{n}. {LONG}", max_tokens=600)) for n in range(room + 3)]
    first_ended = asyncio.as_completed(tasks)
    for _ in range(3):
        with pytest.raises(errors.Exhausted):
            await next(first_ended)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(error, asyncio.CancelledError) for error in ended) == room
    _, last = await client.ask("Hello.", max_tokens=2)
    assert last["num_output_tokens"] == 2


async def test_a_killed_model_process(client, wait_for):
    """A text that is being written ends with Unavailable within seconds, and the model is back soon."""
    async with aclosing(client.pieces(LONG, temperature=0, max_tokens=2000)) as pieces:
        await anext(pieces)
        client.server.kill_model()
        with pytest.raises(errors.Unavailable):
            [None async for _ in pieces]
    wait_for(lambda: "model reloaded" in client.server.log.read_text(), "the model is loaded again", 120)
    _, last = await client.ask("Hello.", max_tokens=1)
    assert last["num_output_tokens"] == 1
