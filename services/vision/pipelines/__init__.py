"""What the vision service does, without gRPC: pictures in, answers out."""
