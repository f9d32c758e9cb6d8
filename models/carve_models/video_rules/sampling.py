"""Which frames of a clip are seen, one class for each of Hugging Face's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

from carve_models.image_rules import Count

if TYPE_CHECKING:
    from typing_extensions import Self

#: Frames, and seconds or frames a second.
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class BaseSampling(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One kind of rule.

    Attributes:
        max_frames: most frames that are seen.
    """

    max_frames: Count

    def within(self, frames: int | None) -> Self:
        """Return the rule for at most so many frames, its own limit if ``None``."""
        most = self.max_frames if frames is None else min(frames, self.max_frames)
        return msgspec.structs.replace(self, max_frames=most)


class SteppedSampling(BaseSampling, frozen=True, kw_only=True, tag="stepped"):
    """Equal steps from the first frame on; the last one is seldom seen (``Qwen2VLVideoProcessor``).

    Attributes:
        fps: frames a second.
        min_frames: fewest frames, if the clip has them.
        multiple: the number of frames is a multiple of this.
    """

    fps: Positive
    min_frames: Count
    multiple: Count


class SpreadSampling(BaseSampling, frozen=True, kw_only=True, tag="spread"):
    """Evenly from the first frame to the last (``Qwen3VLVideoProcessor``).

    Attributes:
        fps: frames a second.
        min_frames: fewest frames, if the clip has them.
    """

    fps: Positive
    min_frames: Count


class TrimmedSampling(BaseSampling, frozen=True, kw_only=True, tag="trimmed"):
    """Evenly, without the ends of a long clip (``SmolVLMVideoProcessor``).

    Attributes:
        fps: frames a second.
        skip_seconds: what is left out of a long clip at either end.
    """

    fps: Positive
    skip_seconds: NotNegative


class CentredSampling(BaseSampling, frozen=True, kw_only=True, tag="centred"):
    """A frame from the middle of each of equal parts (``InternVLVideoProcessor``).

    There are ``max_frames`` of them, if the clip has as many.
    """


Sampling: TypeAlias = SteppedSampling | SpreadSampling | TrimmedSampling | CentredSampling
