"""The RPCs of models, one module a subject."""
