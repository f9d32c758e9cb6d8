"""From a question to what the decoder takes.

In: text, the bundle's prompts, and images that were encoded. Out: token ids, position ids and
chunks of embeddings; and whether all of it fits into the model's context.
"""
