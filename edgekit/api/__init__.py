"""The Python interface; `edgekit` itself offers its names."""
