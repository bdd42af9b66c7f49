"""The models of the mesh: what there is, and how another version of one takes over."""
