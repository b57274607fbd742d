"""Pure records and arithmetic: the standard library and msgspec only."""
