"""Pictures of a graph: a Mermaid flowchart, an SVG and, in `terminal`, a tree. They need no mesh."""

from services.router.drawing.flowchart import mermaid
from services.router.drawing.picture import svg

__all__ = ["mermaid", "svg"]
