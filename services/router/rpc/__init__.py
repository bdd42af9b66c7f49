"""The RPCs of the router, by subject: decode, delegate, encode."""
