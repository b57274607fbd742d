"""The virtual ARM64 device."""
