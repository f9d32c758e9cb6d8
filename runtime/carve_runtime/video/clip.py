"""Clips as the model holds them: frames chosen, encoded moment by moment, and the prefix run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from carve_models.errors import PromptError, VideoError
from carve_models.manifest import Manifest
from carve_models.video_rules.rule import VideoRule
from carve_runtime.decoder.encoded import EncodedImages
from carve_runtime.decoder.model import Model
from carve_runtime.images.model_input import ModelInput
from carve_runtime.prompt.budget import fits_context
from carve_runtime.prompt.chunk import ImageFeatures
from carve_runtime.prompt.text import PromptPart
from carve_runtime.usage import Usage
from carve_runtime.video.frames import ClipSource, Frames
from carve_runtime.video.markup import clip_parts
from carve_runtime.video.moments import Moment, moments_of, preprocess_moment
from carve_runtime.video.sampling import sampled


@dataclass(frozen=True)
class Seen:
    """What of a clip the model sees.

    Attributes:
        moments: one for each run of the vision encoder.
        fps: frames a second of the clip.
        seconds: how long the clip is.
        size: (width, height) of its frames in pixels.
        times: where each moment stands on the time axis, where all are one block of the prompt.
    """

    moments: tuple[Moment, ...]
    fps: float
    seconds: float
    size: tuple[int, int]
    times: tuple[int, ...] | None

    @property
    def count(self) -> int:
        """How many frames the clip has."""
        return round(self.seconds * self.fps)

    @property
    def frames(self) -> list[int]:
        """Indices of all frames that are seen, ascending."""
        return [frame for moment in self.moments for frame in moment.frames]


@dataclass(frozen=True)
class EncodedClip:
    """A clip, ready for questions.

    Attributes:
        images: the blocks of the prompt, and the cache through the last of them.
        seen: what they show.
        before: the prompt through the last block.
    """

    images: EncodedImages
    seen: Seen
    before: tuple[PromptPart, ...]


class ClipEncoder:
    """Turns clips into prompts and prefixes, by the rule of one bundle."""

    def __init__(self, model: Model, video: ClipSource) -> None:
        """Take the bundle's rule, and the limits of the clip.

        Raises:
            VideoError: the bundle has no rule for clips.
        """
        self._model, self._video = model, video
        self._rule = video_rule(model.manifest)
        self._sampling = self._rule.sampling.within(video.max_frames)

    def encode(self, reserve: int, usage: Usage) -> EncodedClip:
        """Read a clip and run the prefix that all questions about it share.

        One moment is held at a time; of those before it their features alone.

        Args:
            reserve: positions that a question is expected to need behind the clip.
            usage: is added to.

        Raises:
            VideoError: the clip cannot be read.
            PromptError: it takes more positions than the model has; no graph has run then.
        """
        model = self._model
        with self._video.open(model.max_image_pixels) as frames:
            seen = self.choose(frames)
            features = list(self._features(frames, seen, reserve, usage))
        if seen.times is not None:
            features = [_one_block(features, seen.times)]
        before = self._before(seen)
        with usage.clock.stage("prefix"):
            beginning = model.embed(before, features)
            cache = model.decoder.empty(beginning.length + reserve)
            step = model.decoder.step(beginning, cache, usage.counts)
        images = EncodedImages.after(before, features, beginning, step)
        return EncodedClip(images, seen, tuple(before))

    def choose(self, frames: Frames) -> Seen:
        """Return what the model sees of an open clip; nothing is decoded for it."""
        rule, count, fps = self._rule, frames.count, frames.fps
        indices = sampled(count, fps, self._sampling) if self._video.sample else list(range(count))
        together = rule.frames.frames_together
        moments = moments_of(indices, fps, together)
        times = None
        if rule.positions_per_second is not None:
            # Hugging Face multiplies in float32, and rounds towards zero.
            seconds = np.float32(together / (len(indices) / count * fps))
            step = np.float32(rule.positions_per_second) * seconds
            times = tuple(
                int(number * step) for number in np.arange(len(moments), dtype=np.float32)
            )
        return Seen(tuple(moments), fps, count / fps, frames.size, times)

    def behind(self, seen: Seen, text: str) -> list[PromptPart]:
        """Return what follows a clip in a prompt: ``text``, a question with its suffix."""
        parts = self._parts(seen, text)
        return parts[_end_of_images(parts) :]

    def _before(self, seen: Seen) -> list[PromptPart]:
        parts = self._parts(seen, "")
        return parts[: _end_of_images(parts)]

    def _parts(self, seen: Seen, text: str) -> list[PromptPart]:
        blocks = seen.moments if seen.times is None else seen.moments[:1]
        return clip_parts(self._rule, blocks, seen.seconds, text, self._model.text.encode)

    def _features(
        self, frames: Frames, seen: Seen, reserve: int, usage: Usage
    ) -> Iterator[ImageFeatures]:
        """Run the vision encoder for each moment, and let go of what it was fed."""
        pictures = frames.read(seen.frames)
        for number, moment in enumerate(seen.moments):
            with usage.clock.stage("decode"):
                together = list(islice(pictures, len(moment.frames)))
            with usage.clock.stage("preprocess"):
                model_input = preprocess_moment(together, self._rule, len(seen.frames))
            if number == 0:
                self._require_context(seen, model_input, reserve)
            with usage.clock.stage("vision"):
                features = self._model.image_features(model_input, usage.counts)
            yield replace(features, model_input=replace(model_input, feeds={}))

    def _require_context(self, seen: Seen, first: ModelInput, reserve: int) -> None:
        """Raise :class:`PromptError` if the clip exceeds the context; all moments are alike."""
        literal = sum(len(part) for part in self._before(seen) if not isinstance(part, int))
        length = literal + len(first.ids) * len(seen.moments)
        limit = self._model.manifest.decoder.context_length
        if not fits_context(length + reserve, 1, limit):
            raise PromptError(
                f"{len(seen.frames)} frames of {len(first.ids)} tokens for each "
                f"{self._rule.frames.frames_together} of them, and what is asked, need "
                f"{length + reserve} positions, the model has {limit}",
                "lower max_frames of the Video, or give a shorter one",
            )


def video_rule(manifest: Manifest) -> VideoRule:
    """Return what a bundle does to clips.

    Raises:
        VideoError: nothing.
    """
    if manifest.video is None:
        raise VideoError(
            "this bundle says nothing of clips",
            "export the checkpoint again if its model takes clips, or ask about single frames",
        )
    return manifest.video


def _end_of_images(parts: Sequence[PromptPart]) -> int:
    """Return how many parts of a prompt there are through the last image."""
    return max(index for index, part in enumerate(parts) if isinstance(part, int)) + 1


def _one_block(features: Sequence[ImageFeatures], times: tuple[int, ...]) -> ImageFeatures:
    """Return moments as one image, whose tokens follow each other in time."""
    first = features[0].model_input
    ids = np.concatenate([each.model_input.ids for each in features])
    added = [each.deepstack for each in features if each.deepstack is not None]
    return ImageFeatures(
        replace(first, ids=ids, map_tokens=np.arange(len(ids)), times=times),
        np.concatenate([each.tokens for each in features], axis=1),
        np.concatenate(added, axis=2) if added else None,
    )
