"""TensorRT engines from a bundle's portable graphs.

``ranges`` says for which sizes, ``contrast`` adds steps 3 and 4 of the method as a graph,
``tensorrt`` wraps the two builders, ``build`` puts them together. No PyTorch is needed: a Jetson
builds its own engines.
"""
