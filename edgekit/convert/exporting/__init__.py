"""From a network of the zoo to artifacts."""
