"""How a service starts."""

import pytest
from pydantic_settings import SettingsConfigDict

from services.mesh import server
from services.mesh.settings import ServiceSettings


class Settings(ServiceSettings):
    """Of a service called test."""

    model_config = SettingsConfigDict(env_prefix="TEST_")


def test_wrong_settings_are_named(monkeypatch):
    """A missing and a wrong variable are named as they stand in the environment, each with what is wrong with it."""
    monkeypatch.setenv("TEST_LISTEN_ADDRESS", "127.0.0.1:0")
    monkeypatch.setenv("TEST_DRAIN_SECONDS", "-1")
    with pytest.raises(SystemExit) as caught:
        server.run("test", lambda _: None, Settings)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("test: ")
    assert [line.split(":")[0].strip() for line in sorted(lines)] == ["TEST_DRAIN_SECONDS", "TEST_METRICS_ADDRESS"]
    assert "greater than 0" in str(caught.value)
