"""A model refuses to serve where Triton's Python stub would corrupt its tensors."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from deploy.triton import runtime


def test_the_right_interpreter_is_accepted(monkeypatch):
    """Our own prefix and numpy pass, with or without the supervisor's expectation."""
    monkeypatch.delenv("MAAS_PYTHON_PREFIX", raising=False)
    runtime.check_interpreter()
    monkeypatch.setenv("MAAS_PYTHON_PREFIX", sys.prefix)
    runtime.check_interpreter()


def test_another_prefix_is_refused(monkeypatch, tmp_path):
    """A stub that took another python3 from PATH is refused, and the error says what to put first on PATH."""
    monkeypatch.setenv("MAAS_PYTHON_PREFIX", str(tmp_path))
    with pytest.raises(runtime.WrongInterpreter, match="first on PATH"):
        runtime.check_interpreter()


def test_numpy_2_is_refused(monkeypatch):
    """A numpy of version 2 corrupts tensors in this server's stub, so it is refused by name."""
    monkeypatch.setattr(np, "__version__", "2.3.1")
    with pytest.raises(runtime.WrongInterpreter, match=r"numpy is 2\.3\.1"):
        runtime.check_interpreter()


def test_a_foreign_numpy_is_refused(monkeypatch, tmp_path):
    """A numpy from outside the environment, say by PYTHONPATH, is refused."""
    monkeypatch.setattr(np, "__file__", str(tmp_path / "numpy" / "__init__.py"))
    with pytest.raises(runtime.WrongInterpreter, match="PYTHONPATH"):
        runtime.check_interpreter()


def test_the_timing():
    """One pair for one item, a row for each of a batch; the end is not before the begin."""
    stopwatch = runtime.Stopwatch()
    begin, end = stopwatch.read()
    assert begin <= end
    assert stopwatch.read(3).shape == (3, 2)
