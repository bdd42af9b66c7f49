"""Fuzzers: run by hand, for as long as one likes; no part of the tests."""
