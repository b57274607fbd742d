"""Top-1 and Top-5 over a labelled list of pictures."""
