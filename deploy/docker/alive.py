#!/usr/bin/env -S python3 -I -S
"""Asks Triton to compute something: exit code 0 if it answers rightly in time. A liveness probe, run in the container.

A Triton whose model process crashed may hang while /v2/health/live says 200 for ever; a native HTTP probe cannot ask
for an inference. Standard library only, and quick to start: `python3 -I -S alive.py [PORT] [SECONDS]`.
"""

from __future__ import annotations

import http.client
import json
import sys
import time

# Of deploy/models/catalog/canary.yaml, which answers 2 * value + 1.
PATH = "/v2/models/canary/infer"
VALUES = 2**20


def problem(port: int, seconds: float, value: int) -> str | None:
    """Why Triton's HTTP endpoint at this port does not compute; None when it does. value: int32, other each time."""
    asked = {"inputs": [{"name": "value", "datatype": "INT32", "shape": [1], "data": [value]}]}
    asked["outputs"] = [{"name": "value"}]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("POST", PATH, json.dumps(asked), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answered = json.loads(response.read())
        if response.status != http.client.OK:
            return f"it refused: {answered.get('error')}"
        found = answered["outputs"][0]["data"]
    except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
        return f"it did not answer within {seconds:g} s: {type(error).__name__}"
    finally:
        connection.close()
    # A wrong number is as bad as none: shared memory that got mixed up shows like this.
    return None if found == [2 * value + 1] else f"it answered {found} for {value}"


def main(arguments: list[str]) -> int:
    """arguments: port (8000) and seconds to wait (5). Returns the exit code."""
    port, seconds = int(arguments[0]) if arguments else 8000, float(arguments[1]) if len(arguments) > 1 else 5.0
    found = problem(port, seconds, time.time_ns() // 1_000_000 % VALUES)
    if found:
        print(f"triton does not compute: {found}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
