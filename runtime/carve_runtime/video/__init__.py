"""Clips: frames and their times, what a model sees of them, and questions about them.

In: a file, a folder of pictures or a list of frames, as a :class:`carve_runtime.Video`. Out: the
frames that the model's own rule chooses, one at a time, and a :class:`~carve_runtime.VideoSession`
that answers about them.
"""
