"""What the nlp service does, without gRPC: texts in, answers out."""
