"""Small graphs that the tests keep, and what they are bound to."""

from __future__ import annotations


class Callers:
    """Callers that are never called."""

    masker = None

    def unary(self, graph, node, method, build):
        return None

    def stream(self, graph, node, method):
        return None


def judging(name: str, method: str = "AnalyzeSentiment", summary: str = "Judges a text.") -> str:
    """The YAML of a graph of one node; its node is on line 6."""
    return f"""name: {name}
summary: {summary}
inputs:
  text: {{kind: text, summary: A text.}}
run:
  node: judge
  call: maas.nlp.v1.NlpService/{method}
  request: {{contents: "[inputs.text]"}}
outputs:
  score: {{value: "judge.results[0].score", summary: How good it is.}}
"""
