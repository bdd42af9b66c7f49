"""Videos: what is on their frames, and what stays the same from frame to frame."""
