"""Native programs and runtime libraries for devices and hosts."""
