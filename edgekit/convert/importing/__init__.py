"""From a user's own model to artifacts."""
