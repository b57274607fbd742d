"""Where something runs: this machine or a device, and the circumstances there."""
