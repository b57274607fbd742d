"""The reference outputs of a model and the ladder of artifacts that is compared with them."""
