"""Which variant of a graph or a model answers a call, and when a new one takes over."""
