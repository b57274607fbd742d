"""Pictures and answers: decode, preprocess, top-k, labels."""
