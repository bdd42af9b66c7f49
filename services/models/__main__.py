"""Runs the service of models: `python -m services.models`."""

import sys

from services.mesh import server
from services.models.app import app
from services.models.pipelines.kept import NotKept
from services.models.settings import Settings

if __name__ == "__main__":
    try:
        server.run("models", app, Settings)
    except NotKept as error:
        sys.exit(f"models cannot start: {error}")
