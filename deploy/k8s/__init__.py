"""The mesh on Kubernetes: manifests, and what renders and checks them."""
