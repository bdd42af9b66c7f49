"""Galleries on a real SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest

from services.vision.pipelines.faces.gallery.gallery import Gallery, open_gallery
from tests.postgres import new_database
from tests.unit.vision.gallery.faces import KEY, FakeEncoder

Open = Callable[..., AbstractAsyncContextManager[Gallery]]

_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request, tmp_path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'faces.sqlite'}"
    return await new_database(request.getfixturevalue("postgres"), f"gallery{next(_numbers)}")


@pytest.fixture
def opened(url) -> Open:
    """Opens a gallery on the database, as often as called."""
    return opener(url)


def opener(url: str) -> Open:
    """Opens a gallery on a database; settings may be given otherwise."""
    defaults = {"keys": [KEY], "encoder": FakeEncoder(), "max_faces": 100, "max_faces_in_memory": 10_000, "threads": 2}
    return lambda **given: partial(open_gallery, url)(**defaults | given)


@pytest.fixture
async def gallery(opened) -> AsyncIterator[Gallery]:
    async with opened() as gallery:
        yield gallery
