"""What the preprocessing service does, without gRPC: texts and bytes in, arrays out."""
