"""bench, verify, predict, eval: everything that asks runners."""
