"""Build TensorRT engines of a bundle's graphs.

In: a bundle of the profile ``portable``. Out: a folder with one engine for each graph, and their
manifest. No PyTorch is needed: a Jetson builds its own engines.
"""
