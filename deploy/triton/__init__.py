"""Code that runs inside Triton: the backend and the models written in Python."""
