"""Runs the preprocessing service: `python -m services.preprocessing`."""

from services.mesh import server
from services.preprocessing.app import app
from services.preprocessing.settings import Settings

if __name__ == "__main__":
    server.run("preprocessing", app, Settings)
