"""Classification of pictures with exported models."""
