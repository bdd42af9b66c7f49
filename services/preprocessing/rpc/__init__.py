"""The RPCs of preprocessing that stand apart from its servicer."""
