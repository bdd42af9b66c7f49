"""The RPCs of speech, one mixin an area."""
