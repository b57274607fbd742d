"""Model cards, networks and weights."""
