"""What a bundle does to clips: which frames are seen, in how many pixels, and how they are told.

In: figures that the exporter reads off a checkpoint, or the part ``video`` of ``carve.json``. Out:
rules; the steps themselves are ``carve_runtime.video``, in the arithmetic of Hugging Face's video
processors.
"""
