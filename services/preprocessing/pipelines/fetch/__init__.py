"""Reads pictures and recordings from places that the operator allows."""
