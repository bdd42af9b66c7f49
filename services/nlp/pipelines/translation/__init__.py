"""Texts into other languages, with everything in them kept that is not language."""
