"""The dashboards, each in a module of its own."""

from __future__ import annotations

from deploy.observability.boards import models, overview, promises, service, streams, triton

BOARDS = (overview.BOARD, service.BOARD, triton.BOARD, streams.BOARD, models.BOARD, promises.BOARD)
