"""The command `maas`: what a person types to run the mesh and to call it."""
