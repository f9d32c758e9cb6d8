"""Where a model looks: rows of the decoder's attention in; maps, figures, pictures, files out.

:class:`carve_runtime.Attention` holds what one greedy pass has attended to, over every position of
the prompt and of the answer; the other modules fill it, draw it and store it.
"""
