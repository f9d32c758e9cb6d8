"""The model: passes of the decoder over a prefix that they share.

In: prompt chunks and images. Out: tokens, and the attention of each step's last position.
"""
