"""Databases of the router."""

from __future__ import annotations

import itertools

import pytest

from tests.postgres import new_database

_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request, tmp_path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'router.sqlite'}"
    return await new_database(request.getfixturevalue("postgres"), f"router{next(_numbers)}")
