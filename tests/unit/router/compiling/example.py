"""A graph that is right, to be spoilt by the tests, and what compiles it."""

from __future__ import annotations

from services.router.compiling import CompiledGraph, compile_graph, read

# Lines are told by the tests' expectations.
EXAMPLE = """\
name: example
summary: An example.
inputs:
  recording: {kind: data, summary: A recording.}
run:
  sequence:
    - node: hear
      call: maas.speech.v1.SpeechService/Recognize
      request:
        audio: {content: inputs.recording}
    - node: judge
      call: maas.nlp.v1.NlpService/AnalyzeSentiment
      request:
        contents: "[hear.transcript]"
outputs:
  score:
    value: judge.results[0].score
    summary: Its score.
"""

TRANSLATE = "call: maas.nlp.v1.NlpService/TranslateText"
SENTIMENT = "call: maas.nlp.v1.NlpService/AnalyzeSentiment"
HEAR = "call: maas.speech.v1.SpeechService/StreamingRecognize"
REPLY = "call: maas.nlp.v1.NlpService/StreamGenerateReply"


def compiled(text: str) -> CompiledGraph:
    """The graph of a text, as of a file example.yaml. Raises GraphError."""
    source = read(text, source="example.yaml")
    return compile_graph(source.graph, source="example.yaml", line=source.line)


def spoilt(*changes: tuple[str, str]) -> str:
    """The example with something else in it."""
    text = EXAMPLE
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def around(run: str, value: str, each: str = "") -> str:
    """A graph that runs this block, given at column 0, from line 9 on; each: of its only output."""
    body = "\n".join(f"  {line}" for line in run.strip().splitlines())
    lines = (
        "name: example",
        "summary: An example.",
        "inputs:",
        "  text: {kind: text, summary: A text.}",
        '  other: {kind: text, default: "", summary: Another.}',
        "  sure: {kind: flag, default: false, summary: Whether.}",
        "  sound: {kind: data, stream: true, summary: The sound.}" if "inputs.sound" in run + value + each else "",
        "run:",
        body,
        "outputs:",
        f"  given: {{{f'each: {each}, ' if each else ''}value: '{value}', summary: What is given.}}",
        # Whatever the block needs, these are used.
        "  used: {value: 'inputs.text + inputs.other + string(inputs.sure)', summary: What is used.}",
    )
    return "\n".join(lines)


def call(node: str, text: str = "inputs.text", more: str = "") -> str:
    """A call that judges a text, on one line."""
    return f"{{node: {node}, {SENTIMENT}, request: {{contents: '[{text}]'}}{more}}}"
