"""The gateway: Envoy, configured, not written."""
