"""The language model speaks the protocol of Triton's vLLM backend: pieces, counts, flags and errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deploy.triton.generation import Wanted
from deploy.triton.llama import Engine, Failed
from tests.unit.deploy.models.conftest import StubResponse

FINAL = 1


def piece(text, written, reason=None):
    """As llama.cpp says it."""
    return {"choices": [{"text": text, "finish_reason": reason}], "timings": {"predicted_n": written}}


PIECES = [{"prompt_progress": {"total": 7}}, piece("The", 1), piece("", 2), piece(" end", 3), piece("", 4, "stop")]


class Sender:
    """As Triton's stub has it."""

    def __init__(self):
        self.sent = []
        self.gone_after = 99

    def is_cancelled(self):
        return len(self.sent) >= self.gone_after

    def send(self, response=None, flags=0):
        self.sent.append((response, flags))


class Request:
    """As Triton's stub has it."""

    def __init__(self, **inputs):
        self.inputs = {"text_input": b"Hi", "stream": True, "return_finish_reason": True} | inputs
        self.sender = Sender()
        self.outputs = ["text_output"]

    def get_response_sender(self):
        return self.sender

    def requested_output_names(self):
        return self.outputs


class Library:
    """Stands in for llama.cpp: says what it is given to say, until it is told to stop."""

    def __init__(self):
        self.says = PIECES
        self.bodies = []
        self.said = 0

    def handle_completions(self, body, callback):
        self.bodies.append(body)
        for one in self.says:
            self.said += 1
            if callback(one):
                return


@pytest.fixture
def engine():
    """An engine without weights."""
    made = Engine.__new__(Engine)
    made._server, made._context_tokens = Library(), 100
    return made


@pytest.fixture
def answer(pb_utils, monkeypatch, engine):
    """Run one request through the model's code; returns what was sent."""
    pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL = FINAL
    pb_utils.TritonError.UNAVAILABLE = 14
    from deploy.triton.models.llama import model  # noqa: PLC0415 - needs the stand-in

    class Tensor(pb_utils.Tensor):
        pass

    def tensor(request, name):
        value = request.inputs.get(name)
        return None if value is None else Tensor(name, np.array([value], object))

    class Now:
        def __init__(self, *, full):
            self.full = full

        def submit(self, job):
            if self.full:
                raise model.Full
            job.run()

    monkeypatch.setattr(pb_utils, "get_input_tensor_by_name", tensor)
    monkeypatch.setattr(model, "pb_utils", pb_utils)
    monkeypatch.setattr(model, "FINAL", FINAL)

    class Counter:
        total = 0

        def increment(self, value):
            self.total += value

    def run(request, *, full=False):
        triton_model = model.TritonPythonModel()
        triton_model._engine, triton_model._slots, triton_model._tokens = engine, Now(full=full), Counter()
        triton_model.execute([request])
        run.tokens = triton_model._tokens.total
        return request.sender.sent

    return run


def test_pieces_are_sent_as_they_come(answer):
    """Each piece of text is a response, empty ones in between are not, and the last one is flagged and counts."""
    sent = answer(Request(return_num_input_tokens=True, return_num_output_tokens=True))
    texts = [response.outputs["text_output"][0].decode() for response, _ in sent]
    assert texts == ["The", " end", ""]
    assert [flags for _, flags in sent] == [0, 0, FINAL]
    last = sent[-1][0].outputs
    assert last["finish_reason"][0] == b"stop"
    assert last["num_input_tokens"].tolist() == [7]
    assert sum(response.outputs["num_output_tokens"][0] for response, _ in sent) == 4
    assert last["num_output_tokens"].dtype == np.uint32
    assert answer.tokens == 4


def test_each_piece_tells_when_it_was_worked_on(answer):
    """Who asks for execution_ns gets it with every piece: the same beginning, and an end that moves on."""
    request = Request()
    request.outputs = ["text_output", "execution_ns"]
    times = [response.outputs["execution_ns"] for response, _ in answer(request)]
    assert {began for began, _ in times} == {times[0][0]}
    assert times[0][0] <= times[0][1] <= times[-1][1]
    assert times[0].dtype == np.int64


def test_one_response_without_stream(answer):
    """Everything comes at once, with the outputs that were asked for and no others."""
    ((response, flags),) = answer(Request(stream=False))
    assert response.outputs["text_output"][0] == b"The end"
    assert response.outputs.keys() == {"text_output", "finish_reason"}
    assert flags == FINAL


def test_a_cancelled_request_stops_the_engine(answer, engine):
    """Once nobody waits, the engine says nothing more, and the request is ended without a response."""
    request = Request()
    request.sender.gone_after = 1
    sent = answer(request)
    assert sent[-1] == (None, FINAL)
    assert len(sent) == 2
    assert engine._server.said < len(PIECES)


def failure(sent):
    """The one error that was sent."""
    ((response, flags),) = sent
    assert isinstance(response, StubResponse)
    assert flags == FINAL
    return response.error


@pytest.mark.parametrize(
    ("says", "parameters", "expected"),
    [
        (PIECES, {"max_tokens": 94}, ("[INVALID_ARGUMENT] the prompt has 7 tokens and max_tokens is 94: together", 3)),
        (
            [{"error": {"type": "exceed_context_size_error", "n_prompt_tokens": 500}}],
            {},
            ("[INVALID_ARGUMENT] the prompt has 500 tokens and max_tokens is 16", 3),
        ),
        (PIECES, {"temperature": -1}, ("[INVALID_ARGUMENT] sampling_parameters.temperature", 3)),
        ([{"error": {"type": "x", "message": "Hi"}}], {}, ("the text could not be generated (Failed)", 13)),
        ([], {}, ("the text could not be generated (Failed)", 13)),
        (PIECES, {"guided_decoding": {"json": {"type": "integer"}}}, ("the text could not be generated (Failed)", 13)),
    ],
)
def test_errors(answer, engine, says, parameters, expected):
    """What is the caller's fault says so and gives the numbers; the engine's own words stay inside."""
    engine._server.says = says
    error = failure(answer(Request(sampling_parameters=json.dumps(parameters).encode())))
    message, code = expected
    assert error.message.startswith(message)
    assert error.code == code


def test_a_full_queue(answer):
    """It is told in Triton's own words, which the adapter knows."""
    assert "maximum queue size" in failure(answer(Request(), full=True)).message


def test_greedy_and_seeded(engine):
    """Temperature 0 takes the likeliest token; a seed of any size becomes one of llama.cpp's, never its "random"."""
    engine.generate(Wanted("p", temperature=0), lambda _: True)
    engine.generate(Wanted("p", seed=-1, stop=("x",)), lambda _: True)
    greedy, seeded = engine._server.bodies
    assert (greedy["top_k"], greedy["samplers"], greedy["seed"]) == (1, ["top_k"], 0xFFFFFFFF)
    assert 0 <= seeded["seed"] < 0xFFFFFFFF
    assert seeded["stop"] == ("x",)


def test_what_a_receiver_raises_is_not_lost(engine):
    """An error in a callback of the library stops it and comes out of `generate`."""

    def receive(_):
        raise Failed("here")

    with pytest.raises(Failed, match="here"):
        engine.generate(Wanted("p"), receive)
    assert engine._server.said == 1
