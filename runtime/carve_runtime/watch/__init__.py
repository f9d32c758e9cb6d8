"""Streams: frames that keep coming, and questions that are asked again where the picture changed.

In: pictures one at a time, as a camera gives them. Out: for each what the answers are now, and
whether the model had to be asked.
"""
