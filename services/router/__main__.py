"""Runs the router: `python -m services.router`."""

import sys

from services.mesh import server
from services.router.app import app
from services.router.pipelines.graph import GraphError
from services.router.settings import Settings

if __name__ == "__main__":
    try:
        server.run("router", app, Settings)
    except GraphError as error:
        sys.exit(f"the router cannot start: {error}")
