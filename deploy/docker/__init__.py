"""Container images: one Dockerfile for all services, one for Triton, and what they run while they are built."""
