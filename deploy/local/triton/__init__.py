"""The guard: starts the embedded Triton, sees whether it computes, and brings it, or a model of it, back if not."""
