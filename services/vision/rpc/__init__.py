"""The RPCs of vision, one module an area: protobuf in and out."""
