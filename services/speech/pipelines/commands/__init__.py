"""Commands in the words of their caller."""
