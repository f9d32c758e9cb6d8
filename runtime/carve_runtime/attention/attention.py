"""The attention of one greedy pass, over all that it read and wrote."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import SettingsError
from carve_models.interface import FEATURE
from carve_models.settings import require_positive, shown
from carve_runtime.attention.stored import read_attention, write_attention
from carve_runtime.method.diagnostics import attention_entropy
from carve_runtime.method.geometry import Window
from carve_runtime.method.maps.sinks import SINK_FACTOR
from carve_runtime.method.placement import place


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Attention:
    """What a greedy pass has attended to.

    Step ``s`` reads the prompt and the first ``s`` words of the answer, and decides the next word:
    its rows are the attention of the last position to all ``P + s``, and 0 behind.

    Attributes:
        rows: (S, L, T) float32, the mean over heads; (S, L, H, T) of a bundle that has the heads.
        layers: (L) numbers of the decoder's layers, ascending.
        ids: (T) int64, what was read: token ids, :data:`FEATURE` for each image token.
        tokens: (T) what is read as text; "" for image tokens and for parts of a character.
        words: (S) the word that each step decided, the end included.
        answer: their text.
        map_tokens: (N) int64, the positions that form the map, in raster order.
        grid: (rows, columns) of the map.
        window: (x0, y0, x1, y1), what the map covers, in pixels of the image.
        image_size: (W, H) in pixels.
    """

    rows: NDArray[np.float32]
    layers: tuple[int, ...]
    ids: NDArray[np.int64]
    tokens: tuple[str, ...]
    words: tuple[str, ...]
    answer: str
    map_tokens: NDArray[np.int64]
    grid: tuple[int, int]
    window: Window
    image_size: tuple[int, int]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Attention:
        """Read a file that :meth:`save` wrote; nothing in it is executed.

        Raises:
            SettingsError: the file is missing, damaged, too large, or holds something else.
            SchemaError: another version wrote it.
        """
        return cls(**read_attention(Path(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``.npz`` file, complete or not at all.

        Raises:
            SettingsError: the name does not end in ``.npz``.
            OSError: the file cannot be written.
        """
        write_attention(Path(path), vars(self))

    @property
    def steps(self) -> int:
        """``S``."""
        return len(self.rows)

    @property
    def heads(self) -> int | None:
        """``H``; ``None`` where the bundle returns the mean alone."""
        return self.rows.shape[2] if self.rows.ndim == 4 else None

    def require_heads(self) -> int:
        """Return ``H``.

        Raises:
            SettingsError: the bundle returns the mean alone.
        """
        if self.heads is None:
            raise SettingsError(
                "this bundle returns the mean over heads",
                "export the checkpoint with --attention heads",
            )
        return self.heads

    def row(
        self, step: int = 0, layer: int | None = None, head: int | None = None
    ) -> NDArray[np.float32]:
        """Return what one step attends to.

        Args:
            step: of the pass, from 0; -1 is the last one.
            layer: the decoder's number; the mean over all that the bundle exposes if ``None``.
            head: of that layer; the mean over all if ``None``.

        Returns:
            (T_s) float32 over the ``P + s`` positions that the step read; sums to 1.

        Raises:
            SettingsError: there is no such step, layer or head here.
        """
        rows = self.rows[self._index("step", step, self.steps)]
        rows = rows[self._layer_index(layer)][None] if layer is not None else rows
        if head is not None:
            rows = rows[:, self._index("head", head, self.require_heads())]
        length = self._length(step)
        return np.asarray(rows.reshape(-1, rows.shape[-1])[:, :length].mean(axis=0))

    def grid_map(
        self, step: int = 0, layer: int | None = None, head: int | None = None
    ) -> NDArray[np.float32]:
        """Return the attention to the image, (rows, columns); arguments as for :meth:`row`."""
        return self.row(step, layer, head)[self.map_tokens].reshape(self.grid)

    def map(
        self, step: int = 0, layer: int | None = None, head: int | None = None
    ) -> NDArray[np.float32]:
        """Return the attention in the picture's coordinates; arguments as for :meth:`row`.

        Returns:
            (H, W) float32: each token's share over its place, resized as in the method (step 4);
            NaN where the model saw nothing.
        """
        tokens = self.grid_map(step, layer, head).astype(np.float64)
        return place(tokens, self.image_size, self.window)

    def over_text(
        self, step: int = 0, layer: int | None = None, head: int | None = None
    ) -> list[tuple[str, float]]:
        """Return what is read as text, in order, each with its share; arguments as in :meth:`row`.

        With :meth:`mass` of the same step and layer the shares sum to 1.
        """
        row = self.row(step, layer, head)
        text = np.flatnonzero(self.ids[: len(row)] != FEATURE)
        return [(self.tokens[position], float(row[position])) for position in text]

    def entropy(self) -> NDArray[np.float64]:
        """Return (S, L), the entropy over the map's tokens, in nats (paper, section 3.2)."""
        rows = self._over_heads()[..., self.map_tokens]
        return np.array([[attention_entropy(row[None]) for row in step] for step in rows])

    def mass(self) -> NDArray[np.float64]:
        """Return (S, L), the share of the attention that falls on image tokens."""
        image = self._over_heads()[..., self.ids == FEATURE]
        return np.asarray(image.sum(axis=-1, dtype=np.float64))

    def sinks(self, factor: float = SINK_FACTOR) -> NDArray[np.int64]:
        """Return the positions that receive much whatever is decided, ascending.

        Attention sinks (Xiao et al., arXiv 2309.17453) take the attention that a head has no use
        for; on image tokens they look like objects and are none.

        Args:
            factor: how many times the mean of a row, in every step, the mean over layers.

        Raises:
            SettingsError: the factor is not positive.
        """
        require_positive("factor", factor)
        rows = self._over_heads().mean(axis=1, dtype=np.float64)
        lengths = np.array([self._length(step) for step in range(self.steps)])
        prompt = lengths[0]
        least = rows[:, :prompt] * lengths[:, None]
        return np.flatnonzero(least.min(axis=0) >= factor)

    def _over_heads(self) -> NDArray[np.float32]:
        return self.rows if self.heads is None else self.rows.mean(axis=2)

    def _length(self, step: int) -> int:
        """Return how many positions a step read: the last one of all read ``T``."""
        return len(self.ids) - (self.steps - 1 - step % self.steps)

    def _layer_index(self, layer: int) -> int:
        if layer not in self.layers:
            listed = ", ".join(map(str, self.layers))
            raise SettingsError(
                f"layer {shown(layer)} is not here, this bundle has {listed}",
                "choose one of them, or export the checkpoint with --layers",
            )
        return self.layers.index(layer)

    @staticmethod
    def _index(name: str, value: int, count: int) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise SettingsError(f"{name} is {shown(value)}", "give a whole number")
        if not -count <= value < count:
            raise SettingsError(f"{name} is {value}", f"give one from 0 to {count - 1}")
        return int(value)

    def __repr__(self) -> str:
        return (
            f"Attention({self.steps} steps, layers {self.layers}, {len(self.ids)} positions, "
            f"grid {self.grid})"
        )
