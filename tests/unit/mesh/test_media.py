"""services.mesh.media."""

from __future__ import annotations

import pytest

from maas.type.v1.media_pb2 import Image
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.media import media_bytes
from services.mesh.testing import FakePreprocessor


async def test_bytes_are_taken_as_they_are():
    """What the request carries is not fetched."""
    preprocessor = FakePreprocessor(errors.Internal("must not be asked"))
    assert await media_bytes("image", Image(content=b"x"), preprocessor, Deadline.after(1)) == b"x"


async def test_an_address_is_fetched():
    """What the request names is read from there."""
    found = await media_bytes("image", Image(uri="s3://b/k"), FakePreprocessor(), Deadline.after(1))
    assert found == b"s3://b/k"


@pytest.mark.parametrize(
    ("image", "field"), [(Image(), "image.content"), (Image(uri="https://h/" + "a" * 2048), "image.uri")]
)
async def test_nothing_and_too_long_an_address_are_refused(image, field):
    """The error names the field."""
    with pytest.raises(errors.InvalidArgument) as caught:
        await media_bytes("image", image, FakePreprocessor(), Deadline.after(1))
    assert caught.value.violations[0].field == field
