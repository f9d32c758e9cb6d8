"""The projector by ridge regression: in come views and word embeddings, out goes a map."""
