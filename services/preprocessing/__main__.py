"""Runs the preprocessing service: `python -m services.preprocessing`."""

import resource
import warnings

from services.mesh import server
from services.preprocessing.app import app
from services.preprocessing.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    # The decoders are C libraries: a file that makes one ask for more gets an error, and the machine keeps its memory.
    resource.setrlimit(resource.RLIMIT_DATA, (settings.max_memory_bytes, settings.max_memory_bytes))
    # Pillow warns of oddities in files; Python remembers each different text for ever, and strangers choose the texts.
    warnings.filterwarnings("ignore", module="PIL")
    server.run("preprocessing", app, settings)
