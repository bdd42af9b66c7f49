"""What the router does, without gRPC: graphs as data, and how they run."""
