"""`maas cluster`: the mesh on Kubernetes, as an operator wants to see it."""
