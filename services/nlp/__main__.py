"""Runs the nlp service: `python -m services.nlp`."""

from services.mesh import server
from services.nlp.app import app
from services.nlp.settings import Settings

if __name__ == "__main__":
    server.run("nlp", app, Settings)
