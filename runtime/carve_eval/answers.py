"""The answers of one run, on disk: a file that only grows.

Its first line says what was run; every further line is one answered question. A run that was
interrupted goes on from it, a run of anything else is refused.
"""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from carve_models.aside import take_lock
from carve_models.errors import CarveError
from carve_models.manifest import Manifest
from carve_models.settings import Settings

#: Settings that say when ``adaptive`` keeps the plain answer.
THRESHOLDS = ("sure_probability", "focused_entropy")


class AnswersError(CarveError):
    """A file of answers belongs to another run, or was damaged."""


class Identity(msgspec.Struct, frozen=True):
    """What was run; answers of different identities do not belong together.

    Attributes:
        benchmark: its name.
        questions: SHA-256 sum of all questions.
        bundle: SHA-256 sum of the bundle's manifest, which holds the sums of its files; without
            the default settings, as the settings in force are told.
        crop: where the closer look goes, by its name.
        settings: every hyper-parameter in force.
    """

    benchmark: str
    questions: str
    bundle: str
    crop: str
    settings: dict[str, Any]


class Answer(msgspec.Struct, frozen=True):
    """One answered question.

    Attributes:
        id: the question's.
        plain: answer of one pass over the whole image.
        refined: answer after a closer look, through CARVE or another method.
        box: what that look went to, (x0, y0, x1, y1) in pixels.
        peak: the place (x, y) that mattered most, if the question says where its object is.
        entropy: of the question pass's attention, in nats, if it was read.
        probability: the model's own of ``plain``, if that pass told.
    """

    id: str
    plain: str
    refined: str
    box: tuple[int, int, int, int]
    peak: tuple[float, float] | None = None
    entropy: float | None = None
    probability: float | None = None


def identify(
    benchmark: str, questions: str, manifest: Manifest, crop: str, settings: Settings
) -> Identity:
    """Return the identity of a run, as it reads after a round trip through JSON.

    The thresholds of ``adaptive`` are left out where it is off: they may be calibrated between two
    runs without an effect on the answers.
    """
    told = asdict(settings)
    if not settings.adaptive:
        for name in THRESHOLDS:
            del told[name]
    identity = Identity(benchmark, questions, bundle_sum(manifest), crop, told)
    return msgspec.json.decode(msgspec.json.encode(identity), type=Identity)


def bundle_sum(manifest: Manifest) -> str:
    """Return the SHA-256 sum of what a manifest says, but for its default settings."""
    usual = Settings(layers=manifest.decoder.tapped_layers)
    return sha256(msgspec.json.encode(replace(manifest, defaults=usual))).hexdigest()


class AnswerFile:
    """The answers that are there, and a way to add one.

    Args:
        path: of the file; it and its folder are made when the first answer comes.
        identity: of the run that asks.

    Raises:
        AnswersError: the file belongs to another run, or a line of it is malformed.
    """

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self.answers: dict[str, Answer] = {}
        self._identity = identity
        self._size = self._whole = 0  # bytes that were there, and those of whole lines
        if path.is_file():
            self._read()

    def add(self, answer: Answer) -> None:
        """Append one answer; once this returns, an interruption does not lose it.

        Raises:
            AnswersError: another process has written to the file since it was read here.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as stream:
            if not take_lock(stream) or os.fstat(stream.fileno()).st_size != self._size:
                raise AnswersError(
                    f"{self.path} is being written by another process",
                    "wait for its end, or end it; then the same command goes on",
                )
            stream.truncate(self._whole)  # a write that was interrupted
            lines = [answer] if self._whole else [self._identity, answer]
            stream.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            stream.flush()
            self._size = self._whole = os.fstat(stream.fileno()).st_size
        self.answers[answer.id] = answer

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole, newline, _ = content.rpartition(b"\n")
        self._size = len(content)
        if not whole:  # not even the first line was written
            return
        self._whole = len(whole) + len(newline)
        first, *lines = whole.split(b"\n")
        self._compare(self._decode(first, Identity, 1))
        for number, line in enumerate(lines, 2):
            answer = self._decode(line, Answer, number)
            if answer.id in self.answers:
                raise AnswersError(
                    f"{self.path} answers the question {answer.id!r} twice",
                    "do not run two processes on one folder; delete the file to start again",
                )
            self.answers[answer.id] = answer

    def _decode(self, line: bytes, kind: Any, number: int) -> Any:
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError as error:
            raise AnswersError(
                f"line {number} of {self.path} is malformed: {error}",
                "delete the line, or the file to start again",
            ) from error

    def _compare(self, identity: Identity) -> None:
        theirs, mine = _flat(identity), _flat(self._identity)
        differences = [
            f"{name} {theirs.get(name)!r} instead of {mine.get(name)!r}"
            for name in mine | theirs
            if theirs.get(name) != mine.get(name)
        ]
        if differences:
            raise AnswersError(
                f"{self.path} is of another run, with {', '.join(differences)}",
                "choose another folder with --out, or delete the file",
            )


def _flat(identity: Identity) -> dict[str, Any]:
    fields = msgspec.structs.asdict(identity)
    settings: dict[str, Any] = fields.pop("settings")
    return fields | settings
