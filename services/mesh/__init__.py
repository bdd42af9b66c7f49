"""What every service of the mesh shares: errors, ports, channels, servers and telemetry."""
