"""Runs the speech service: `python -m services.speech`."""

from services.mesh import server
from services.speech.app import app
from services.speech.settings import Settings

if __name__ == "__main__":
    server.run("speech", app, Settings)
