"""Whether a Python can run the mesh is known before anything is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import check_python


def test_the_python_of_these_tests_will_do():
    """The Python that runs the tests passes, and nothing is said."""
    done = subprocess.run([sys.executable, check_python.__file__], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("version", [(3, 10), (3, 13), (2, 7)])
def test_another_version_is_refused(version):
    """The sentence names the version and how to choose another."""
    said = check_python.problem(version, [""])
    assert "{}.{}".format(*version) in said
    assert "make PYTHON=" in said


def test_a_missing_shared_library_is_named(tmp_path: Path):
    """The sentence names the library and the packages that hold it."""
    said = check_python.problem((3, 11), [str(tmp_path)])
    assert "libpython3.11.so.1.0" in said
    assert "Debian, Ubuntu: libpython3.11" in said
