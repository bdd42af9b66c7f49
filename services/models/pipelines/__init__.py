"""How another version of a model takes over, one replica after another."""
