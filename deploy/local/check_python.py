"""Whether this Python can run the mesh, asked before anything is installed. Standard library only, any Python 3.

`python3 deploy/local/check_python.py` prints what is wrong, and ends with 1, or says nothing.
"""

from __future__ import annotations

import ctypes
import os
import sys
import sysconfig

VERSIONS = ((3, 11), (3, 12))


def problem(version: tuple[int, int], directories: list[str]) -> str:
    """What is wrong, as a sentence that says what to do, or "".

    version: of Python. directories: where its shared library may lie; "" is where the system looks.
    """
    name = "{}.{}".format(*version)
    if version not in VERSIONS:
        return f"MaaS Mesh needs Python 3.11 or 3.12, and this is {name}; name one: make PYTHON=python3.11 ..."
    library = f"libpython{name}.so.1.0"
    if not any(_loads(os.path.join(directory, library)) for directory in directories):  # noqa: PTH118 - "" stays ""
        return (
            f"The Python {name} at {sys.base_prefix} has no shared library {library}, which Triton's models need; "
            f"install it (Debian, Ubuntu: libpython{name}; Fedora: python{name}-libs), or name a Python that was built "
            "with --enable-shared: make PYTHON=..."
        )
    return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    places = ["", sysconfig.get_config_var("LIBDIR") or "", os.path.join(sys.base_prefix, "lib")]  # noqa: PTH118 - as above
    sys.exit(problem((sys.version_info[0], sys.version_info[1]), places) or None)
