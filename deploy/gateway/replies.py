"""What the gateway answers itself when it can't pass a call on: in the mesh's form, a code with ErrorInfo (AIP-193).

A gRPC caller gets it as grpc-status, grpc-message and grpc-status-details-bin, any other as google.rpc.Status in JSON.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

_MEBIBYTE = 1024 * 1024
# The transcoder turns JSON calls into gRPC calls and leaves the path that the caller wrote in this header.
_NOT_TRANSCODED = {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": False}}}
_GRPC = {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}}

Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One kind of answer.

    http: the HTTP statuses with which Envoy would give it.
    flag: one of Envoy's response flags, when the status alone does not tell.  details: a part of Envoy's
        %RESPONSE_CODE_DETAILS%, likewise.
    json_code, http_status: what a JSON caller gets instead, 0 for the same.
    reason: of the ErrorInfo. message: may name {service}.
    retry: whether it can help to try again soon; then there is RetryInfo.
    """

    http: tuple[int, ...]
    code: int
    reason: str
    message: str
    flag: str = ""
    details: str = ""
    json_code: int = 0
    http_status: int = 0
    retry: bool = False

    @property
    def names_service(self) -> bool:
        """Whether the message is about a service."""
        return "{service}" in self.message

    def status(self, service: str, *, as_json: bool) -> Status:
        """The answer about a service."""
        code = self.json_code if as_json and self.json_code else self.code
        status = Status(code=code, message=self.message.format(service=service or "the service"))
        metadata = {"service": service} if service else {}
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=self.reason, domain="maas", metadata=metadata))
        if self.retry:
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1)))
        return status


def _replies(max_request_bytes: int) -> tuple[Reply, ...]:
    return (
        Reply(
            (503,), code_pb2.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", "too many calls wait for {service}",
            flag="UO", http_status=429, retry=True,
        ),
        Reply(
            (502, 503), code_pb2.UNAVAILABLE, "SERVICE_UNAVAILABLE",
            "{service} is not available: it is starting, restarting or down", http_status=503, retry=True,
        ),
        Reply((408, 504), code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "{service} did not answer in time"),
        Reply(
            (413,), code_pb2.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
            f"the request is larger than {max_request_bytes / _MEBIBYTE:g} MiB",
        ),
        Reply((429,), code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED", "too many calls; slow down", retry=True),
        Reply(
            (404,), code_pb2.UNIMPLEMENTED, "NO_SUCH_METHOD", "the mesh has no such service or path",
            json_code=code_pb2.NOT_FOUND,
        ),
        Reply(
            (405,), code_pb2.UNIMPLEMENTED, "WRONG_HTTP_METHOD",
            "this path takes another HTTP method: see the Allow header",
        ),
    )  # fmt: skip


# To callers whom the gateway does not know, or who may not do what they ask.
_UNIDENTIFIED = (
    Reply(
        (401,), code_pb2.UNAUTHENTICATED, "TOKEN_MISSING", "this call needs a token: send authorization: Bearer TOKEN",
        details="Jwt_is_missing",
    ),
    Reply(
        (401,), code_pb2.UNAUTHENTICATED, "TOKEN_EXPIRED", "the token has expired: get a new one",
        details="Jwt_is_expired",
    ),
    Reply(
        (401,), code_pb2.UNAVAILABLE, "KEYS_UNAVAILABLE", "the issuer of tokens does not answer, so none is checked",
        details="Jwks_remote_fetch", http_status=503, retry=True,
    ),
    # Also 403, which is Envoy's for a wrong audience.
    Reply(
        (401, 403), code_pb2.UNAUTHENTICATED, "TOKEN_INVALID",
        "the token is not one for this mesh: its issuer, audience, signature or form is wrong",
        details="jwt_authn_access_denied", http_status=401,
    ),
    Reply(
        (403,), code_pb2.PERMISSION_DENIED, "NO_TENANT",
        "the caller's token or certificate must name a tenant, of 1 to 64 of a-z, 0-9, - and _",
        details="policy[tenant]",
    ),
    Reply(
        (403,), code_pb2.PERMISSION_DENIED, "ADMINISTRATORS_ONLY",
        "only administrators may change what the mesh does for all of its callers",
        details="policy[administration]",
    ),
)  # fmt: skip


def local_replies(services: Sequence[tuple[str, str]], max_request_bytes: int, *, identified: bool = False) -> Json:
    """Envoy's LocalReplyConfig.  services: (name, full gRPC name) of each.  identified: whether callers are."""
    mappers = []
    for reply in (*(_UNIDENTIFIED if identified else ()), *_replies(max_request_bytes)):
        for name, full_name in [*services, ("", "")] if reply.names_service else [("", "")]:
            when = [*_when(reply)]
            if full_name:
                path = {"name": ":path", "string_match": {"prefix": f"/{full_name}/"}}
                when.append({"header_filter": {"header": path}})
            grpc_filter = _all(*when, _GRPC, _NOT_TRANSCODED)
            mappers.append({"filter": grpc_filter, **_for_grpc(reply.status(name, as_json=False))})
            changed = {"status_code": reply.http_status} if reply.http_status else {}
            body = _as_json(reply.status(name, as_json=True))
            mappers.append({"filter": _all(*when), **changed, "body_format_override": body})
    # Whatever else there is, in Envoy's own words.
    words = {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}}
    mappers.append({"filter": _all(_GRPC, _NOT_TRANSCODED), "body_format_override": words})
    # What the transcoder finds wrong with a request it says itself.
    wrong = _wrapped(code_pb2.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    mappers.append({"filter": _status_is(400), "body_format_override": wrong})
    return {"mappers": mappers, "body_format": _wrapped(code_pb2.UNKNOWN, "GATEWAY_ERROR")}


def _when(reply: Reply) -> list[Json]:
    if reply.flag:
        return [{"response_flag_filter": {"flags": [reply.flag]}}]
    statuses = [_status_is(status) for status in reply.http]
    when = [statuses[0] if len(statuses) == 1 else {"or_filter": {"filters": statuses}}]
    return [*when, _details_have(reply.details)] if reply.details else when


def _details_have(part: str) -> Json:
    of_filters = "type.googleapis.com/envoy.extensions.access_loggers.filters"
    expression = {
        "@type": f"{of_filters}.cel.v3.ExpressionFilter",
        "expression": f"response.code_details.contains('{part}')",
    }
    return {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": expression}}


def _status_is(status: int) -> Json:
    value = {"default_value": status, "runtime_key": f"maas.reply.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _all(*filters: Json) -> Json:
    return filters[0] if len(filters) == 1 else {"and_filter": {"filters": list(filters)}}


def _for_grpc(status: Status) -> Json:
    details = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
    return {
        "headers_to_add": [
            _header("grpc-status", str(status.code)),
            _header("grpc-status-details-bin", details),
        ],
        "body_format_override": {"text_format_source": {"inline_string": status.message}},
    }


def _header(key: str, value: str) -> Json:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _as_json(status: Status) -> Json:
    # As text, since it is the same every time.
    text = json.dumps(MessageToDict(status))
    return {"content_type": "application/json", "text_format_source": {"inline_string": text}}


def _wrapped(code: int, reason: str) -> Json:
    """The gateway's own words in the usual form."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "maas"}
    return {
        "content_type": "application/json",
        "json_format": {"code": code, "message": "%LOCAL_REPLY_BODY%", "details": [info]},
    }
