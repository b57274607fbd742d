"""int8 artifacts from float ones, and their loss of accuracy."""
