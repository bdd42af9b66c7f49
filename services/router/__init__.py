"""The router: typed services composed into graphs, and the mesh's face for health and reflection."""
