"""Read a Hugging Face checkpoint.

In: a checkpoint's folder or its name on the hub. Out: the loaded model with its family, and what
the bundle must know of it: image rule, prompts, facts about the decoder, companion files.
"""
