"""The rules of the contracts are checked by tools; these tests show that the checks catch what they should."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).parents[2]
BUF = Path(sys.prefix) / "bin" / "buf"
CONFIG = ["--config", str(ROOT / "protos/buf.yaml")]


@pytest.fixture
def contract() -> FileDescriptorSet:
    """All protos, as `make protos` compiled them."""
    return FileDescriptorSet.FromString((ROOT / ".build/protos/maas.binpb").read_bytes())


def buf(
    command: str, contract: FileDescriptorSet, directory: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    path = directory / "contract.binpb"
    path.write_bytes(contract.SerializeToString())
    return subprocess.run([BUF, command, path, *CONFIG, *arguments], capture_output=True, text=True, check=False)


def file(contract, name):
    return next(each for each in contract.file if each.name == name)


def remove_a_field(contract):
    del file(contract, "maas/nlp/v1/nlp.proto").message_type[0].field[0]


def rename_a_field(contract):
    field = file(contract, "maas/vision/v1/vision.proto").message_type[0].field[0]
    field.name, field.json_name = "picture", "picture"


def change_a_type(contract):
    field = file(contract, "maas/vision/v1/vision.proto").message_type[0].field[2]
    field.type = field.TYPE_STRING


@pytest.mark.parametrize("damage", [remove_a_field, rename_a_field, change_a_type])
def test_a_breaking_change_is_refused(contract, damage, tmp_path):
    """A removed, renamed or retyped field fails the check, and the contract as it is passes."""
    against = ("--against", str(ROOT / "protos/released.binpb"))
    assert buf("breaking", contract, tmp_path, *against).returncode == 0
    damage(contract)
    assert buf("breaking", contract, tmp_path, *against).returncode != 0


def test_a_field_without_a_comment_is_refused(contract, tmp_path):
    """A field that nobody explained fails the lint; the contract as it is passes."""
    assert buf("lint", contract, tmp_path).returncode == 0
    for location in file(contract, "maas/nlp/v1/nlp.proto").source_code_info.location:
        location.ClearField("leading_comments")
    failed = buf("lint", contract, tmp_path)
    assert failed.returncode != 0
    assert "comment" in failed.stdout
