"""Questions about a clip as the passes of CARVE take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from carve_models.errors import SettingsError
from carve_models.settings import SettingsChanges, Variant, shown
from carve_runtime.prompt.request import EncodedText, OnToken, Request, RequestBuilder
from carve_runtime.prompt.text import PromptPart

#: What only single images have, and what it is for clips.
_FIXED: SettingsChanges = {"final_prompt": "refined", "early_exit": False, "adaptive": False}
#: What nothing reads then. The pixels of clips are limited by the bundle's rule.
_UNUSED = (
    *("max_refined_pixels", "scout_pixels", "final_pixels", "resize_refined"),
    *("sure_probability", "focused_entropy"),
)


class ClipText(EncodedText):
    """What follows a clip in a prompt: text alone, however many images its moments are."""

    def __init__(self, parts: Sequence[PromptPart]) -> None:
        """Take token ids."""
        super().__init__(tuple(parts), tuple(parts))

    def behind(self, images: int, more: int = 0) -> tuple[PromptPart, ...]:
        """Return it; no images follow a clip."""
        assert not more
        return self.single


def clip_request(
    requests: RequestBuilder,
    behind: Callable[[str], Sequence[PromptPart]],
    question: str,
    variant: Variant | None,
    on_token: OnToken | None,
    changes: SettingsChanges,
) -> Request:
    """Return a request for the whole method, about a clip.

    Args:
        requests: of the bundle.
        behind: what follows the clip for a text.
        question: what to ask.
        variant: as for :meth:`carve_runtime.Carve.ask`.
        on_token: likewise.
        changes: likewise.

    Raises:
        SettingsError: as there, or a setting that clips do not have.
        PromptError: as there.
    """
    for name in (*_FIXED, *_UNUSED):
        value = changes.get(name)
        if value is not None and value != _FIXED.get(name):
            raise SettingsError(
                f"{name} is {shown(value)}, and clips do not have this setting", "leave it out"
            )
    fixed: SettingsChanges = {**changes, **_FIXED}
    request = requests.ask(question, variant, fixed, on_token)
    general = tuple(replace(each, prompt=ClipText(behind(each.text))) for each in request.general)
    return replace(request, prompt=ClipText(behind(question)), general=general)
