"""Texts spoken."""
