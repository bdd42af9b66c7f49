"""Channels to other services of the mesh."""

from __future__ import annotations

import json
from collections.abc import Sequence

import grpc.aio


def open_channel(
    address: str, *, service: str, max_message_bytes: int, retries: bool = True, asked_once: Sequence[str] = ()
) -> grpc.aio.Channel:
    """Open a channel that balances, checks health and retries.

    address: host:port, or dns:///name:port to spread calls over every replica that the name resolves to.
    service: full name of the gRPC service; a backend whose grpc.health.v1 status for it is not SERVING gets no calls.
        Empty: no health checking.
    retries: whether a call that failed with UNAVAILABLE is tried again, three attempts at most and within a budget:
        when more than about one in ten calls fail, gRPC stops retrying, so that retries cannot multiply an outage.
    asked_once: methods of the service that are not tried again all the same.
    """
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if service:
        config["healthCheckConfig"] = {"serviceName": service}
    if retries:
        config["retryThrottling"] = {"maxTokens": 10, "tokenRatio": 0.1}
        config["methodConfig"] = [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            },
            # Without a policy; the more exact name counts.
            *({"name": [{"service": service, "method": method}]} for method in asked_once),
        ]
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.service_config", json.dumps(config)),
            ("grpc.enable_retries", int(retries)),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            # A backend that restarts is back within seconds; gRPC's own back-off grows to two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            # When a backend goes the name server is asked for others at once; gRPC would do so twice a minute at most.
            ("grpc.dns_min_time_between_resolutions_ms", 1000),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
        ],
    )
