"""How the mesh is built and run: models, Triton, gateway, one machine, Kubernetes."""
