"""Summaries, by the text's own sentences or in new ones."""
