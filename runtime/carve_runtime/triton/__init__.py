"""A bundle behind NVIDIA's Triton Inference Server: a model for its Python backend.

In: a request with an encoded image and questions about it. Out: a response with answers and masks.
"""

from carve_runtime.triton.repository import write_model

__all__ = ["write_model"]
