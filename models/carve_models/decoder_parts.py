"""The graphs that a decoder consists of: one whole, or a lower and an upper half.

The lower half is the early exit of the paper's C.7: attention passes that need no token stop there.
"""

from __future__ import annotations

from dataclasses import dataclass

from carve_models import names


@dataclass(frozen=True)
class DecoderPart:
    """Some of the decoder's layers, as a graph of their own.

    Attributes:
        name: the graph's name.
        layers: its layers, numbered as in the whole.
        tapped: those of them whose last attention row it returns.
    """

    name: str
    layers: range
    tapped: tuple[int, ...]

    @property
    def input_name(self) -> str:
        """The input that it works on."""
        return names.HIDDEN_STATES if self.name == names.DECODER_UPPER else names.INPUTS_EMBEDS

    @property
    def output_name(self) -> str:
        """The output that it works towards."""
        return names.HIDDEN_STATES if self.name == names.DECODER_LOWER else names.LOGITS

    @property
    def is_last(self) -> bool:
        """Whether it returns logits."""
        return self.output_name == names.LOGITS

    def split(self, at: int) -> tuple[DecoderPart, DecoderPart]:
        """Return the halves below and from layer ``at``."""
        return (
            DecoderPart(
                names.DECODER_LOWER,
                range(self.layers.start, at),
                tuple(layer for layer in self.tapped if layer < at),
            ),
            DecoderPart(
                names.DECODER_UPPER,
                range(at, self.layers.stop),
                tuple(layer for layer in self.tapped if layer >= at),
            ),
        )
