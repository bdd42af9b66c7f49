"""JSON over HTTP, errors included."""

from __future__ import annotations

from typing import Any

import pytest

SENTIMENT = "/v1/nlp:analyzeSentiment"


def _reason(body: dict[str, Any]) -> str:
    return next(str(each["reason"]) for each in body["details"] if each["@type"].endswith("google.rpc.ErrorInfo"))


async def test_names_and_zeros_are_as_in_google_apis(gateway: Any) -> None:
    """Names are lowerCamelCase, and fields of value zero are there."""
    status, headers, body = await gateway.http("POST", SENTIMENT, {"contents": ["fine"], "model": "m"})
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body["model"] == "m"
    wanted = {"sentiment": "SENTIMENT_POSITIVE", "score": 0, "positiveProbability": 0, "truncated": False}
    assert body["results"][0] | wanted == body["results"][0]


async def test_a_service_s_error_keeps_its_details(gateway: Any) -> None:
    """INVALID_ARGUMENT is 400 with ErrorInfo and the violated field as JSON."""
    status, headers, body = await gateway.http("POST", SENTIMENT, {})
    assert (status, headers["content-type"]) == (400, "application/json")
    assert (body["code"], _reason(body)) == (3, "INVALID_ARGUMENT")
    assert body["details"][1]["fieldViolations"][0]["field"] == "contents"


async def test_unavailable_tells_when_to_retry(gateway: Any) -> None:
    """A model that loads is 503 with RetryInfo, after one retry."""
    status, _, body = await gateway.http("POST", SENTIMENT, {"contents": ["unavailable"]})
    assert (status, body["code"], body["message"]) == (503, 14, "the model is loading")
    assert body["details"][1]["retryDelay"] == "2s"
    asked = [each for each in gateway.nlp.metadata if each.get("x-envoy-original-path") == SENTIMENT]
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code", "reason"),
    [
        ("GET", "/v1/none", None, 404, 5, "NO_SUCH_METHOD"),
        ("GET", "/", None, 404, 5, "NO_SUCH_METHOD"),
        ("GET", SENTIMENT, None, 405, 12, "WRONG_HTTP_METHOD"),
        ("DELETE", "/v1/graphs/some:run", None, 405, 12, "WRONG_HTTP_METHOD"),
        ("POST", SENTIMENT, b"{contents", 400, 3, "INVALID_ARGUMENT"),
        ("POST", SENTIMENT, {"contents": 5}, 400, 3, "INVALID_ARGUMENT"),
        ("GET", "/v1/nlp/config?colour=red", None, 400, 3, "INVALID_ARGUMENT"),
        ("GET", "/v1/vision/config", None, 503, 14, "SERVICE_UNAVAILABLE"),
    ],
)
async def test_the_gateway_s_own_errors_are_json_too(
    gateway: Any, *, method: str, path: str, content: object, status: int, code: int, reason: str
) -> None:
    """Whatever the gateway refuses itself has the shape of google.rpc.Status."""
    found, headers, body = await gateway.http(method, path, content)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert (body["code"], _reason(body)) == (code, reason)
    assert body["message"]


async def test_a_wrong_method_names_the_right_one(gateway: Any) -> None:
    """405 has the Allow header."""
    _, headers, _ = await gateway.http("GET", SENTIMENT)
    assert headers["allow"] == "POST"


async def test_a_service_that_is_down_is_named(gateway: Any) -> None:
    """The message and the details say which service, and when to try again."""
    _, _, body = await gateway.http("GET", "/v1/vision/config")
    assert body["message"].startswith("vision is not available")
    assert body["details"][0]["metadata"] == {"service": "vision"}
    assert body["details"][1]["retryDelay"] == "1s"


@pytest.mark.parametrize("configure", [{"limit_seconds": 1}])
async def test_a_slow_call_ends(gateway: Any) -> None:
    """A call that takes longer than its route allows is 504, and the service is told to stop."""
    status, _, body = await gateway.http("POST", SENTIMENT, {"contents": ["slow"]})
    assert (status, body["code"], _reason(body)) == (504, 4, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize("configure", [{"max_request_bytes": 65_536}])
async def test_a_large_request_is_refused(gateway: Any) -> None:
    """A request above the limit is 413 and never reaches a service."""
    before = len(gateway.nlp.metadata)
    status, _, body = await gateway.http("POST", SENTIMENT, {"contents": ["x" * 100_000]})
    assert (status, body["code"], _reason(body)) == (413, 8, "REQUEST_TOO_LARGE")
    assert len(gateway.nlp.metadata) == before


@pytest.mark.parametrize("configure", [{"max_json_response_bytes": 65_536}])
async def test_an_answer_too_large_for_json_is_an_error(gateway: Any) -> None:
    """An answer above the limit for JSON is an error in JSON, not half an answer, and no reason to try again."""
    status, headers, body = await gateway.http("POST", SENTIMENT, {"contents": ["fine"], "model": "m" * 100_000})
    assert (status, headers["content-type"]) == (500, "application/json")
    assert _reason(body) == "GATEWAY_ERROR"
    assert len(body["details"]) == 1


@pytest.mark.parametrize("configure", [{"rate_limit_per_second": 5}])
async def test_too_many_calls_are_429(gateway: Any) -> None:
    """Above the rate limit calls are 429 with RetryInfo."""
    answers = [await gateway.http("POST", SENTIMENT, {"contents": ["fine"]}) for _ in range(30)]
    status, _, body = next(answer for answer in answers if answer[0] != 200)
    assert (status, body["code"], _reason(body)) == (429, 8, "RATE_LIMITED")
