"""Graphs to be drawn."""

from __future__ import annotations

from typing import Any

from services.router.pipelines.graph import Graph

SOUND = {"kind": "data", "stream": True, "summary": "A sound."}
TEXT = {"kind": "text", "summary": "A text."}


def graph(run: dict[str, Any], *, value: str = '""', **inputs: dict[str, Any]) -> Graph:
    """A graph with one output."""
    outputs = {"result": {"value": value, "summary": "What comes of it."}}
    return Graph.model_validate(
        {"name": "drawn", "summary": "Is drawn.", "inputs": inputs, "run": run, "outputs": outputs}
    )


def call(node: str, content: str = "", **fields: object) -> dict[str, Any]:
    """A call. content: an expression in its request."""
    request = {"contents": content} if content else {}
    return {"node": node, "call": "maas.nlp.v1.NlpService/AnalyzeEntities", "request": request, **fields}


# Every block, one inside the other.
NESTED = graph(
    {
        "sequence": [
            {
                "stream": [
                    call("hear", send=[{"request": {"audio_content": "inputs.sound"}}], each="inputs.sound"),
                    {"node": "said", "each": "hear", "collect": True, "value": "hear.text", "most": 9},
                    {
                        "node": "word",
                        "each": "hear",
                        "switch": [{"when": "hear.text == inputs.text", "gives": "hear.text"}],
                        "otherwise": {"run": call("feel", "[hear.text]")},
                    },
                ]
            },
            {
                "node": "safe",
                "privacy": "inputs.text",
                "as": "masked",
                "run": {
                    "node": "turns",
                    "map": "said",
                    "as": "turn",
                    "most": 9,
                    "gives": "answered",
                    "run": {
                        "sequence": [
                            {"parallel": [call("one", "[turn]"), call("two", "[turn]", optional=True)], "quorum": 1},
                            {
                                "node": "answered",
                                "fallback": [{"run": call("fast", "one.results")}, {"gives": '"nothing"'}],
                            },
                        ]
                    },
                },
            },
            {
                "node": "agreed",
                "ensemble": [{"run": call("left"), "weight": 2}, {"run": call("right")}],
                "combine": "vote",
            },
        ]
    },
    value="agreed + safe",
    text=TEXT,
    sound=SOUND,
)
