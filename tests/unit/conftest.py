"""Fixtures of unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server, by its URL with DATABASE for a name."""
    with postgres_server() as url:
        yield url
