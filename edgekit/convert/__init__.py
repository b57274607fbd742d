"""From a network or a user's model to artifacts and their manifest."""
