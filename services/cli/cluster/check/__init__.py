"""Whether a cluster can take the mesh, before it is applied."""
