"""TensorRT engines that ``carve-export engine`` built.

In: a folder of engines and a bundle. Out: graphs that run on an NVIDIA GPU. ``plan`` checks what
needs no GPU, ``cuda`` calls the driver, ``runner`` runs.
"""
