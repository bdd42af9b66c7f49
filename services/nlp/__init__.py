"""Language: what texts say and mean."""
