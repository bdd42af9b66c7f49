"""Runs the vision service: `python -m services.vision`."""

from services.mesh import server
from services.vision.app import app
from services.vision.settings import Settings

if __name__ == "__main__":
    server.run("vision", app, Settings)
