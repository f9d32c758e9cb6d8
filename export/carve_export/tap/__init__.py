"""Add the attention of the last position to decoders that other exporters wrote.

In: one graph, of ONNX Runtime GenAI's builder, Optimum or transformers.js. Out: the same graph with
``decoder_attentions.last_row`` as a further output.
"""

from carve_export.tap.tap import TapOptions, TapReport, tap_decoder, tap_graph

__all__ = ["TapOptions", "TapReport", "tap_decoder", "tap_graph"]
