"""How another version of a model takes over, one Triton after another."""
