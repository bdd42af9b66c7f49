"""Streams through a graph: stages that run at the same time, each taking the items of another as they come."""

from __future__ import annotations

from services.router.pipelines.streaming.run import run_stream

__all__ = ["run_stream"]
