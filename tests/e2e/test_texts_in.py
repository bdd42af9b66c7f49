"""Texts at the gateway: languages and sentences as JSON, and texts that are none."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

LANGUAGES = yaml.safe_load((Path(__file__).parent / "data" / "languages.yaml").read_text(encoding="utf-8"))
# What DetectLanguage must tell, by length of the text; measured: all sentences, 49 of 54 phrases.
WANTED = {"sentences": 0.98, "phrases": 0.87}


def post(mesh: Any, method: str, body: bytes) -> tuple[int, Any]:
    """A request's HTTP status and the JSON that came back."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://{mesh.address}/v1/preprocessing:{method}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize("kind", WANTED)
@pytest.mark.parametrize("mark", ["", "!"])
def test_languages(mesh: Any, kind: str, mark: str) -> None:
    """Languages of labelled texts are told, of single words too, with or without a mark at their end."""
    right = []
    for code, texts in LANGUAGES[kind].items():
        status, body = post(
            mesh, "detectLanguage", json.dumps({"contents": [f"{text}{mark}" for text in texts]}).encode()
        )
        assert status == 200
        right += [result["languageCode"] == code for result in body["results"]]
    assert sum(right) / len(right) >= WANTED[kind]


def test_sentences(mesh: Any) -> None:
    """Offsets are code points of the text as it was sent, whatever JSON made of it on the way."""
    status, body = post(mesh, "segmentText", rb'{"contents": ["\ud83d\ude00 Dr. Smith. \u4f60\u597d\u3002"]}')
    assert status == 200
    assert body["results"][0]["sentences"] == [{"begin": 0, "end": 12}, {"begin": 13, "end": 16}]


@pytest.mark.parametrize("method", ["normalizeText", "tokenizeText", "segmentText", "detectLanguage"])
@pytest.mark.parametrize("body", [b'{"contents": ["caf\xe9"]}', rb'{"contents": ["\ud800"]}', b'{"contents": ['])
def test_what_is_no_text(mesh: Any, method: str, body: bytes) -> None:
    """Bytes that are no UTF-8, half a pair of surrogates and half a document are INVALID_ARGUMENT."""
    status, answer = post(mesh, method, body)
    assert (status, answer["code"], answer["details"][0]["reason"]) == (400, 3, "INVALID_ARGUMENT")
