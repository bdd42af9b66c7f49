"""Speech written down while it is spoken."""
