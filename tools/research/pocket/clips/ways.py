"""Ways to answer a question about a clip, and what each made of the questions; all are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from carve_models.settings import SettingsChanges
from carve_runtime import Carve, ClipSettings, VideoSession
from carve_runtime.method.geometry import Box
from tools.research.pocket.clips.cases import ClipCase, Group, clip_cases
from tools.research.pocket.world.cases import Part
from tools.research.pocket.world.questions import Kind
from tools.research.quality.cached_bundle import Answers
from tools.shared.workers import in_order

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: As many frames as CARVE over time encodes of a clip: twice those that the model sees.
UNIFORM = 12


@dataclass(frozen=True)
class Told:
    """An answer, and what it is about where CARVE chose that.

    Attributes:
        answer: the text.
        seconds: the interval.
        box: the part of its frames, in pixels.
    """

    answer: str
    seconds: tuple[float, float] | None = None
    box: Box | None = None

    def is_right(self, case: ClipCase) -> bool:
        """Return whether it is the answer."""
        return self.answer == case.answer

    def in_time(self, case: ClipCase) -> bool:
        """Return whether the interval has a part of the target's."""
        if self.seconds is None:
            return False
        return self.seconds[0] < case.interval[1] and case.interval[0] < self.seconds[1]

    def in_box(self, case: ClipCase) -> bool:
        """Return whether the box has the target's centre."""
        if self.box is None:
            return False
        x0, y0, x1, y1 = self.box
        return x0 <= case.target.item.x < x1 and y0 <= case.target.item.y < y1


Way = Callable[[VideoSession, ClipCase], Told]


def _plain(clip: VideoSession, case: ClipCase) -> Told:
    return Told(clip.plain(case.question).answer)


def _carve(*, crop: bool = True, **changes: Unpack[SettingsChanges]) -> Way:
    settings = ClipSettings(crop=crop)

    def way(clip: VideoSession, case: ClipCase) -> Told:
        result = clip.ask(case.question, clip_settings=settings, **changes)
        return Told(result.answer, result.interval.seconds, result.box)

    return way


def _oracle(*, interval: bool = False, box: bool = False, frames: int | None = None) -> Way:
    def way(clip: VideoSession, case: ClipCase) -> Told:
        when = case.interval if interval else None
        where = case.box if box else None
        asked = clip.plain_about(case.question, interval=when, box=where, frames=frames)
        return Told(asked.answer)

    return way


PLAIN, CARVE, SPREAD = "plain", "CARVE over time", f"uniform, {UNIFORM} frames"
WAYS: Mapping[str, Way] = {
    PLAIN: _plain,
    SPREAD: _oracle(frames=UNIFORM),
    CARVE: _carve(),
    "question's attention alone": _carve(contrast="off"),
    "CARVE over time, not cropped": _carve(crop=False),
    "oracle interval": _oracle(interval=True),
    "oracle box, whole clip": _oracle(box=True),
    "oracle interval and box": _oracle(interval=True, box=True),
}


@dataclass(frozen=True, eq=False)
class Asked:
    """A group's questions, and what each way told about them, in their order."""

    cases: Sequence[ClipCase]
    told: Mapping[str, Sequence[Told]]

    def of_kinds(self, kinds: Collection[Kind]) -> Asked:
        """Return the questions of some kinds alone."""
        chosen = [index for index, case in enumerate(self.cases) if case.kind in kinds]
        told = {way: [every[index] for index in chosen] for way, every in self.told.items()}
        return Asked([self.cases[index] for index in chosen], told)


def ask_all(vlm: Carve, name: str, part: Part, group: Group, clips: int, file: Path) -> Asked:
    """Answer the questions about a group's first clips in every way.

    Args:
        vlm: the bundle.
        name: of the bundle, under which its answers are kept.
        part: the split.
        group: of its questions.
        clips: how many.
        file: where answers are kept; none is asked for twice.
    """
    answers = Answers(file)
    cases = list(clip_cases(part, group, clips))
    keys = {case: {way: _key(name, part, case, way) for way in WAYS} for case in cases}
    by_clip = [list(same) for _, same in groupby(cases, key=lambda case: case.number)]
    missing = [
        asked
        for asked in by_clip
        if not all(key in answers.known for case in asked for key in keys[case].values())
    ]

    def work(asked: list[ClipCase]) -> dict[bytes, str]:
        with vlm.open_video(asked[0].video) as clip:
            return {
                keys[case][way]: msgspec.json.encode(ask(clip, case)).decode()
                for case in asked
                for way, ask in WAYS.items()
                if keys[case][way] not in answers.known
            }

    for new in in_order(work, missing, f"{name} {part} {group}"):
        answers.add(new)
    told = {
        way: [msgspec.json.decode(answers.known[keys[case][way]], type=Told) for case in cases]
        for way in WAYS
    }
    return Asked(cases, told)


def _key(name: str, part: Part, case: ClipCase, way: str) -> bytes:
    return msgspec.json.encode((name, part, case.group, case.number, case.question, way))
