"""Vision: what pictures show."""
