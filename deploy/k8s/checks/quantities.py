"""Quantities as Kubernetes writes them: 250m, 1.5, 2Gi, 1e3."""

from __future__ import annotations

import re
from decimal import Decimal

_PATTERN = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?P<suffix>[eE][+-]?\d+|[KMGTPE]i|[numkMGTPE]?)")
_UNITS = {
    "": Decimal(1),
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("n", "u", "m"), start=-3)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}


def parse(quantity: object) -> Decimal:
    """Its value: cores, bytes or items. Raises ValueError with what is wrong."""
    text = str(quantity)
    match = None if isinstance(quantity, bool) else _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity: write a number and a suffix such as m, k, M, Ki, Mi or Gi")
    number, suffix = Decimal(match["number"]), match["suffix"]
    return number.scaleb(int(suffix[1:])) if suffix[:1] in ("e", "E") and suffix[1:] else number * _UNITS[suffix]
