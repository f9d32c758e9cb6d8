"""Trace PyTorch modules to ONNX graphs.

In: a loaded checkpoint. Out: the graphs of vision encoder, token embedding and decoder, the decoder
whole and in halves, with the attention of the last position as an output.
"""
