"""Pictures in, labelled answers out: decode, preprocess, top-k, labels."""
