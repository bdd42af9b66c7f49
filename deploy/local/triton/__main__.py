"""`python -m deploy.local.triton`: the one process that the supervisor runs for Triton; settings in TRITON_*.

Exit codes: 0 after SIGTERM or SIGINT, 1 when Triton failed too often (a restart may help), 78 when a check before the
start failed (a restart does not help).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import structlog

from deploy.local.triton.checks import problems
from deploy.local.triton.guard import guard
from deploy.local.triton.settings import Settings


def main() -> int:
    """Check, then guard until told to stop. Returns the exit code."""
    settings = Settings()
    if found := problems(settings):
        for problem in found:
            print(f"triton cannot start: {problem}", file=sys.stderr)
        return os.EX_CONFIG
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    return asyncio.run(_guard_until_signal(settings))


async def _guard_until_signal(settings: Settings) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return os.EX_OK if await guard(settings, stopping) else 1


if __name__ == "__main__":
    sys.exit(main())
