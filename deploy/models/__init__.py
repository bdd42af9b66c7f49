"""The model catalog, and what fetches and builds a Triton model repository from it."""
