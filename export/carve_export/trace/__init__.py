"""From PyTorch modules to ONNX graphs.

In: the loaded model. Out: vision encoder, token embedding and decoder, whole and in halves, with
the attention of the last position as an output.
"""
