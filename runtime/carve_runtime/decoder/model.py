"""A bundle's model: look at an image once, then answer about it from the shared prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import PromptError, SettingsError
from carve_models.image_rules import ImageRule
from carve_models.manifest import Manifest, Segment
from carve_models.names import TOKENIZER_FILE
from carve_models.settings import Settings, SettingsChanges, Variant
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.cache import Counts, Prefix
from carve_runtime.decoder.engine import Engine, Pass
from carve_runtime.images.load import RGB, ImageInput, load_image
from carve_runtime.images.model_input import ModelInput
from carve_runtime.images.preprocess import preprocess, require_aspect
from carve_runtime.prompt.chunk import Features
from carve_runtime.prompt.text import PromptPart, Text, question_text
from carve_runtime.result import Stage, Token
from carve_runtime.stopwatch import Stopwatch

OnToken = Callable[[Token], None]


@dataclass(frozen=True)
class View:
    """One image as the model holds it.

    Attributes:
        image: (H, W, 3) uint8.
        features: the image tokens, with the grid and the window of their map.
        prefix: the cache of the prompt up to and including the image.
    """

    image: RGB
    features: Features
    prefix: Prefix

    @property
    def seen(self) -> ModelInput:
        """What the vision encoder saw."""
        return self.features.seen


@dataclass(frozen=True)
class Work:
    """One question on its way: what it has cost so far, and who listens to its answers."""

    on_token: OnToken | None = None
    clock: Stopwatch = field(default_factory=Stopwatch)
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, order=True)
class Room:
    """Positions behind an image; the larger room is the one of more positions.

    Attributes:
        expected: what the passes of one question may need; more can be had later.
        prompt: what its longest prompt takes in any case; 0 if no question is known yet.
        new_tokens: most forward steps behind that prompt.
    """

    expected: int
    prompt: int = 0
    new_tokens: int = 1


class Model:
    """Graphs, tokenizer and prompts of a bundle. Threads may share it."""

    def __init__(self, bundle: Bundle, settings: BackendSettings | None = None) -> None:
        """Load everything; errors as in :meth:`carve_runtime.Carve.load`."""
        self.manifest: Manifest = bundle.manifest
        self.text = Text(bundle.path(TOKENIZER_FILE), self.manifest.decoder.control_ids)
        self._engine = Engine(bundle, settings)
        self._prefix_length = len(self.manifest.prompts.shared_prefix())
        self._prefix = self.text.pieces(self.manifest.prompts.single[: self._prefix_length], "")

    def settings(
        self, question: str, variant: Variant | None, changes: SettingsChanges
    ) -> Settings:
        """Return the settings in force, after checking them and the question against the bundle.

        Raises:
            SettingsError: an unknown setting, a value out of range, a layer that is not tapped.
            PromptError: the question is empty or too long.
        """
        settings = self.manifest.defaults.override(variant=variant, **changes)
        self.rows(settings.layers)
        self._require_exit(settings)
        for pixels in (settings.scout_pixels, settings.final_pixels):
            self._rule(pixels)
        pair = settings.final_prompt == "pair"
        self._require_room(question, pair=pair, max_new_tokens=settings.max_new_tokens)
        return settings

    def plain_limit(self, question: str, max_new_tokens: int | None, *, pair: bool) -> int:
        """Return the most forward steps of a plain answer; errors as for :meth:`settings`."""
        settings = self.manifest.defaults.override(max_new_tokens=max_new_tokens)
        self._require_room(question, pair=pair, max_new_tokens=settings.max_new_tokens)
        return settings.max_new_tokens

    def rows(self, layers: Sequence[int]) -> list[int]:
        """Return the rows of the tap that hold layers, see :meth:`DecoderSpec.rows`."""
        return self.manifest.decoder.rows(layers)

    def _rule(self, pixels: int | None) -> ImageRule:
        """Return the rule for images of at most so many pixels; the model's own if ``None``."""
        spec = self.manifest.image
        return spec if pixels is None else spec.within(pixels)

    def _require_exit(self, settings: Settings) -> None:
        exit_layers = self.manifest.decoder.exit_layers
        if not settings.early_exit:
            return
        if exit_layers is None:
            raise SettingsError(
                "early_exit needs a decoder in two halves, which this bundle does not have",
                "export the checkpoint with default layers that end below the last one",
            )
        if max(settings.layers) >= exit_layers:
            raise SettingsError(
                f"early_exit stops below layer {exit_layers}, layers has {max(settings.layers)}",
                "choose lower layers, or ask without early_exit",
            )

    def decode(self, image: ImageInput, work: Work) -> RGB:
        """Return an image as the array that masks and boxes refer to.

        Raises:
            ImageError: it cannot be read, or is too thin.
        """
        with work.clock.stage("decode"):
            pixels = load_image(image)
            require_aspect(pixels, self.manifest.image)
        return pixels

    def look(
        self,
        image: RGB,
        room: Room,
        work: Work,
        *,
        lower: bool = False,
        max_pixels: int | None = None,
    ) -> View:
        """Encode an (H, W, 3) uint8 image and run the shared prefix with it.

        Args:
            image: the image.
            room: positions that passes need behind the prefix, see :meth:`room`.
            work: is added to.
            lower: run the lower half of the decoder only, for now.
            max_pixels: most pixels that the model sees of it; its own limit if ``None``.

        Raises:
            PromptError: the image, or the question behind it, takes more positions than the model
                has; no graph has run then.
        """
        seen = self._see(image, max_pixels, work)
        length = self._positions(self._prefix, len(seen.ids))
        self._require_room_for_image(length)
        self._engine.require_room(length + room.prompt, room.new_tokens)
        features = self._encode(seen, work)
        with work.clock.stage("prefix"):
            beginning = self._engine.embed(self._prefix, [features])
            prefix = self._engine.prefill(beginning, room.expected, work.counts, lower=lower)
        return View(image, features, prefix)

    def room(self, question: str, *, pair: bool, max_new_tokens: int) -> Room:
        """Return the positions behind the prefix that the passes of one question may need.

        A second image counts with the fewest tokens that it can have.
        """
        asked = self._positions(self._pair(question) if pair else self._single(question))
        general = self._positions(self._single(self.manifest.prompts.general))
        return Room(max(asked, general) + max_new_tokens - 1, asked, max_new_tokens)

    def room_for(self, question: str, settings: Settings) -> Room:
        """Return :meth:`room` under given settings."""
        pair = settings.final_prompt == "pair"
        room = self.room(question, pair=pair, max_new_tokens=settings.max_new_tokens)
        # An early exit generates nothing behind the image, but for the pair.
        return replace(room, new_tokens=1) if settings.early_exit and not pair else room

    def answer(
        self,
        view: View,
        question: str,
        *,
        stage: Stage,
        max_new_tokens: int,
        work: Work,
    ) -> Pass:
        """Answer about one image."""
        with work.clock.stage(stage):
            return self._continue(view, self._single(question), None, stage, max_new_tokens, work)

    def attend(self, view: View, question: str, *, stage: Stage, work: Work) -> NDArray[np.float32]:
        """Return one step's attention, (1, L, N), from the lower half of the decoder."""
        with work.clock.stage(stage):
            return self._engine.attend(
                self._engine.embed(self._single(question), [], view.prefix.next_position),
                view.prefix,
                map_tokens=_map_tokens(view),
                counts=work.counts,
            )

    def answer_pair(
        self,
        view: View,
        refined: RGB,
        question: str,
        *,
        stage: Stage,
        max_new_tokens: int,
        work: Work,
        max_pixels: int | None = None,
    ) -> Pass:
        """Answer about the original, already looked at, and its refined image."""
        pieces, seen = self._pair(question), self._see(refined, max_pixels, work)
        length = view.prefix.length + self._positions(pieces, len(seen.ids))
        self._engine.require_room(length, max_new_tokens)
        second = self._encode(seen, work)
        with work.clock.stage(stage):
            return self._continue(view, pieces, second, stage, max_new_tokens, work)

    def _require_room(self, question: str, *, pair: bool, max_new_tokens: int) -> None:
        """Refuse a question that is empty or too long in any case, before any graph runs."""
        rest = self._pair(question) if pair else self._single(question)
        self._engine.require_room(self._positions([*self._prefix, *rest]), max_new_tokens)

    def _require_room_for_image(self, positions: int) -> None:
        limit = self.manifest.decoder.context_length
        if positions > limit:
            raise PromptError(
                f"the image and what stands before it take {positions} positions, the model has "
                f"{limit}",
                "give a smaller image, or use a model with a longer context",
            )

    def _positions(self, pieces: Sequence[PromptPart], image: int | None = None) -> int:
        """Return the length of a prompt whose images take so many tokens, or the fewest."""
        tokens = self.manifest.image.fewest_tokens if image is None else image
        return sum(tokens if isinstance(piece, int) else len(piece) for piece in pieces)

    def _see(self, image: RGB, max_pixels: int | None, work: Work) -> ModelInput:
        with work.clock.stage("preprocess"):
            return preprocess(image, self._rule(max_pixels))

    def _encode(self, seen: ModelInput, work: Work) -> Features:
        with work.clock.stage("vision"):
            return self._engine.encode_image(seen, work.counts)

    def _single(self, question: str) -> list[PromptPart]:
        return self._rest(self.manifest.prompts.single, question)

    def _pair(self, question: str) -> list[PromptPart]:
        return self._rest(self.manifest.prompts.pair, question)

    def _rest(self, segments: Sequence[Segment], question: str) -> list[PromptPart]:
        text = question_text(question, self.manifest.prompts)
        return self.text.pieces(segments[self._prefix_length :], text)

    def _continue(
        self,
        view: View,
        pieces: Sequence[PromptPart],
        second: Features | None,
        stage: Stage,
        max_new_tokens: int,
        work: Work,
    ) -> Pass:
        images = [view.features] if second is None else [view.features, second]
        on_token, on_id = work.on_token, None
        if on_token is not None:
            on_id = self.text.streamer(lambda text: on_token(Token(stage, text)))
        return self._engine.generate(
            self._engine.embed(pieces, images, view.prefix.next_position),
            view.prefix,
            max_new_tokens=max_new_tokens,
            map_tokens=_map_tokens(view),
            counts=work.counts,
            on_id=on_id,
        )


def _map_tokens(view: View) -> NDArray[np.int64]:
    """Return where the tokens of the image's map stand: the image is the end of the prefix."""
    return view.prefix.length - len(view.seen.ids) + view.seen.map_tokens
