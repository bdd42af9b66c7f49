"""MaaS Mesh: typed gRPC services over Triton. One folder a service; `mesh` is what they share."""
