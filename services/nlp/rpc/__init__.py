"""The RPCs of nlp, one module an area: each decodes, delegates to a pipeline, and encodes."""
