"""Models that several tools run: bundles, their decoders, and a language model trained by others.

In: a bundle or a checkpoint. Out: attention, answers, or steps to time.
"""
