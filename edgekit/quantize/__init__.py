"""int8 artifacts from float ones, and the measurement of what they cost in accuracy."""
