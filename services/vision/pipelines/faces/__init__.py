"""Faces: where they are, what can be told of them, whose they are."""
