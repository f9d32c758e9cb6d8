"""The method itself, steps 3 to 7 of ``docs/method.md``, on arrays alone.

In: the attention of two passes and the image. Out: saliency, mask, box and refined image. Nothing
here knows of models, graphs or files; no other room of the runtime is imported.
"""
