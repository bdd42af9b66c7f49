"""What every Python model here shares: the check of the interpreter it was started with, and its timing output.

Imported inside Triton's Python stub, so it needs nothing beyond numpy.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXECUTION = "execution_ns"


class WrongInterpreter(RuntimeError):
    """The stub runs another Python, or another numpy, than the one this repository was installed into."""


def check_interpreter() -> None:
    """Refuse to serve when numpy would corrupt tensors: this server's stub needs numpy 1, from the right prefix.

    Triton takes the first python3 on its PATH, whatever that is. Raises WrongInterpreter.
    """
    expected = os.environ.get("MAAS_PYTHON_PREFIX")
    if expected and Path(expected).resolve() != Path(sys.prefix).resolve():
        message = (
            f"Triton's Python stub runs in {sys.prefix}, not in {expected}:"
            f" start tritonserver with {expected}/bin first on PATH and without PYTHONHOME."
        )
        raise WrongInterpreter(message)
    if int(np.__version__.split(".")[0]) != 1:
        message = f"numpy is {np.__version__}: Triton 24.10 corrupts tensors with numpy 2; install numpy 1.26."
        raise WrongInterpreter(message)
    location = Path(str(np.__file__)).resolve()
    if Path(sys.prefix).resolve() not in location.parents:
        message = f"numpy comes from {location.parent}, outside {sys.prefix}: unset PYTHONPATH for tritonserver."
        raise WrongInterpreter(message)


def parameters(args: dict[str, str]) -> dict[str, str]:
    """The string parameters of the model's config.pbtxt; args: as Triton gives them to `initialize`."""
    config: dict[str, Any] = json.loads(args["model_config"])
    return {name: value["string_value"] for name, value in config.get("parameters", {}).items()}


def version_folder(args: dict[str, str]) -> Path:
    """The folder of the version that is being loaded, where weights lie beside model.py."""
    return Path(args["model_repository"]) / args["model_version"]


class Stopwatch:
    """Times one execution as [begin, end] of time.time_ns(), so that callers can place it in a trace."""

    def __init__(self) -> None:
        self._begin = time.time_ns()

    def read(self, batch: int | None = None) -> NDArray[Any]:
        """execution_ns: int64[2], or int64[batch, 2] for a model with a batch dimension."""
        times = np.array([self._begin, time.time_ns()], np.int64)
        return times if batch is None else np.tile(times, (batch, 1))
