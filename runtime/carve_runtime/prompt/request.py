"""Questions, checked against a bundle and encoded once: what all passes about them read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal, NamedTuple, TypeAlias

from carve_models.errors import PromptError, SettingsError
from carve_models.manifest import Manifest
from carve_models.settings import Settings, SettingsChanges, Variant, shown
from carve_runtime.method.maps import method_of
from carve_runtime.method.maps.agreement import other_instructions
from carve_runtime.prompt.budget import ContextBudget, prompt_length, require_context
from carve_runtime.prompt.text import PromptPart, Text, prompt_parts, question_text
from carve_runtime.usage import Usage

#: The three passes; also the names of their timings.
Stage = Literal["question", "general", "final"]


class Token(NamedTuple):
    """A stretch of text while it is generated, and the pass that generates it."""

    stage: Stage
    text: str


OnToken: TypeAlias = Callable[[Token], None]


@dataclass(frozen=True)
class EncodedText:
    """A question or instruction behind the prefix that all prompts share.

    Attributes:
        single: about one image; token ids.
        pair: about the pair; token ids, with the index of the second image in its place.
    """

    single: tuple[PromptPart, ...]
    pair: tuple[PromptPart, ...]

    def behind(self, images: int, more: int = 0) -> tuple[PromptPart, ...]:
        """Return what follows a prefix of so many images: more images, then the text.

        A prompt of several images goes on as the pair does, and what stands between the pair's
        images stands between all.
        """
        if images + more == 1:
            return self.single
        at = next(place for place, part in enumerate(self.pair) if isinstance(part, int))
        between, rest = self.pair[:at], self.pair[at + 1 :]
        following = [part for image in range(images, images + more) for part in (*between, image)]
        return (*following, *rest)


@dataclass(frozen=True)
class Instruction:
    """A general instruction, as it is written and encoded."""

    text: str
    prompt: EncodedText


@dataclass(frozen=True)
class Request:
    """A question on its way.

    Attributes:
        prompt: the question, encoded.
        settings: the settings in force.
        budget: the positions that it needs.
        general: the general instructions whose attention the method reads, the bundle's own first.
        on_token: receives the text of all passes as it is generated.
        usage: what it has cost so far.
    """

    prompt: EncodedText
    settings: Settings
    budget: ContextBudget
    general: tuple[Instruction, ...] = ()
    on_token: OnToken | None = None
    usage: Usage = field(default_factory=Usage)


class RequestBuilder:
    """Makes the requests of one bundle. Threads may share it."""

    def __init__(self, manifest: Manifest, text: Text) -> None:
        """Encode what does not depend on the question: prefix and general instruction."""
        self._manifest, self._text = manifest, text
        prompts = manifest.prompts
        self._shared = len(prompts.shared_prefix())
        self._first = tuple(prompt_parts(prompts.single[: self._shared], "", text.encode))
        #: The general instruction.
        self.general = self._encode(prompts.general)

    def prefix(self, images: int = 1) -> tuple[PromptPart, ...]:
        """Return what all prompts about so many images start with, through the last of them.

        Raises:
            PromptError: this bundle's prompts do not hold several before the question.
        """
        if images == 1:
            return self._first
        try:
            segments = self._manifest.prompts.between_images()
        except ValueError as error:
            raise PromptError(
                f"a prompt about {images} images cannot be made of this bundle's: {error}",
                "ask about one image",
            ) from None
        between = prompt_parts(segments, "", self._text.encode)
        following = [part for image in range(1, images) for part in (*between, image)]
        return (*self._first, *following)

    def settings(self, variant: Variant | None, changes: SettingsChanges) -> Settings:
        """Return the bundle's default settings with changes.

        Raises:
            SettingsError: an unknown setting, a value out of range, a layer that is not tapped.
        """
        settings = self._manifest.defaults.override(variant=variant, **changes)
        self._require_settings(settings)
        return settings

    def ask(
        self,
        question: str,
        variant: Variant | None,
        changes: SettingsChanges,
        on_token: OnToken | None = None,
        *,
        images: int = 1,
    ) -> Request:
        """Return a request for the whole method, about so many images.

        Raises:
            SettingsError: an unknown setting, a value out of range, a layer that is not tapped.
            PromptError: the question, or a general instruction, is empty or too long.
        """
        settings = self.settings(variant, changes)
        pair, general = settings.final_prompt == "pair", self._instructions(settings)
        request = self._request(question, settings, on_token, images, int(pair), general)
        if settings.early_exit and not pair:  # nothing is generated behind the image
            return replace(request, budget=replace(request.budget, new_tokens=1))
        return request

    def plain(
        self,
        question: str,
        max_new_tokens: int | None = None,
        on_token: OnToken | None = None,
        *,
        images: int = 1,
        refined: int = 0,
    ) -> Request:
        """Return a request for one plain answer, about images and refined ones behind them.

        Raises:
            SettingsError: ``max_new_tokens`` is out of range.
            PromptError: the question is empty or too long.
        """
        settings = self._manifest.defaults.override(max_new_tokens=max_new_tokens)
        return self._request(question, settings, on_token, images, refined)

    def general_budget(self, settings: Settings, images: int = 1) -> ContextBudget:
        """Return what to reserve behind images whose questions are not known yet."""
        refined = int(settings.final_prompt == "pair")
        return ContextBudget(self._budget(self.general, settings, images, refined).reserve)

    def _instructions(self, settings: Settings) -> tuple[Instruction, ...]:
        needed, own = method_of(settings).general, self._manifest.prompts.general
        if needed == "none":
            return ()
        others = other_instructions(settings, own) if needed == "several" else ()
        encoded = (Instruction(text, self._encode(text)) for text in others)
        return Instruction(own, self.general), *encoded

    def _request(
        self,
        question: str,
        settings: Settings,
        on_token: OnToken | None,
        images: int,
        refined: int,
        general: tuple[Instruction, ...] = (),
    ) -> Request:
        if on_token is not None and not callable(on_token):
            raise SettingsError(f"on_token is {shown(on_token)}", "give a function of one Token")
        prompt = self._encode(question)
        budget = self._budget(prompt, settings, images, refined, general[1:])
        require_context(
            self._length(self.prefix(images)) + budget.prompt,
            settings.max_new_tokens,
            self._manifest.decoder.context_length,
            images,
        )
        return Request(prompt, settings, budget, general, on_token)

    def _budget(
        self,
        prompt: EncodedText,
        settings: Settings,
        images: int,
        refined: int,
        others: Sequence[Instruction] = (),
    ) -> ContextBudget:
        asked = self._length(prompt.behind(images, refined))
        asked = max([asked, *(self._length(other.prompt.behind(images)) for other in others)])
        longest = max(asked, self._length(self.general.behind(images)))
        steps = settings.max_new_tokens
        return ContextBudget(longest + steps - 1, asked, steps)

    def _length(self, parts: Sequence[PromptPart]) -> int:
        """Return the fewest positions that a stretch of a prompt can take."""
        return prompt_length(parts, self._manifest.image.fewest_tokens)

    def _encode(self, question: str) -> EncodedText:
        prompts = self._manifest.prompts
        text = question_text(question, prompts)
        encode = cache(self._text.encode)  # both prompts end in the same text, as a rule
        single, pair = (
            tuple(prompt_parts(segments[self._shared :], text, encode))
            for segments in (prompts.single, prompts.pair)
        )
        return EncodedText(single, pair)

    def _require_settings(self, settings: Settings) -> None:
        """Raise :class:`SettingsError` unless this bundle can do what the settings ask."""
        decoder, image = self._manifest.decoder, self._manifest.image
        decoder.rows(settings.layers)
        if settings.early_exit:
            _require_exit(settings.layers, decoder.exit_layers)
        for pixels in (settings.scout_pixels, settings.final_pixels):
            if pixels is not None:
                image.within(pixels)


def _require_exit(layers: Sequence[int], exit_layers: int | None) -> None:
    """Raise :class:`SettingsError` unless the layers are in the lower half of a decoder."""
    if exit_layers is None:
        raise SettingsError(
            "early_exit needs a decoder in two halves, which this bundle does not have",
            "export the checkpoint with default layers that end below the last one",
        )
    if max(layers) >= exit_layers:
        raise SettingsError(
            f"early_exit stops below layer {exit_layers}, layers has {max(layers)}",
            "choose lower layers, or ask without early_exit",
        )
