"""How long nodes took lately (services.router.pipelines.plan.Durations)."""

from __future__ import annotations

from collections import OrderedDict

from services.router.pipelines.window import Window

# Fewer say nothing yet.
_FEWEST = 5
_MAX_NODES = 4096


class LearntDurations:
    """The durations of the last minute, of the nodes that ran last."""

    def __init__(self) -> None:
        # Those that ran last are last.
        self._windows: OrderedDict[tuple[str, str], Window] = OrderedDict()

    def add(self, graph: str, node: str, seconds: float) -> None:
        """A run that succeeded."""
        key = (graph, node)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window()
            if len(self._windows) > _MAX_NODES:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        window.add(seconds)

    def usual(self, graph: str, node: str) -> float | None:
        """The median of the last minute; None below five runs."""
        return self._quantile(graph, node, 0.5)

    def shortest(self, graph: str, node: str) -> float | None:
        """What nine of ten runs of the last minute took at least; None below five runs."""
        return self._quantile(graph, node, 0.1)

    def _quantile(self, graph: str, node: str, share: float) -> float | None:
        window = self._windows.get((graph, node))
        return window.quantile(share) if window is not None and window.count() >= _FEWEST else None
