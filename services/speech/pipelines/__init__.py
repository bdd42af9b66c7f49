"""What the speech service does, without gRPC: sound to words, words to sound."""
