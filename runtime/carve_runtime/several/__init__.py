"""Several images in one prompt: one contrast, one threshold, refined images of those that matter.

In: images and a question. Out: an answer, and of each image its map, its regions and its crop.
"""
