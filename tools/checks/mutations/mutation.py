"""What a mutation is, and the list of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[3]
LISTS = Path(__file__).parent


class StaleMutationError(Exception):
    """The text that a mutation replaces is not in the file exactly once."""


class Mutation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One edit of the product, and the tests that it must break.

    Attributes:
        name: what the edit does wrong.
        file: the source file, relative to the repository.
        find: text that occurs in the file exactly once.
        replace: what stands there instead.
        caught_by: test files, or tests as pytest names them (``file::test``); each must fail.
    """

    name: str
    file: str
    find: str
    replace: str
    caught_by: tuple[str, ...]

    def mutate(self, source: str) -> str:
        """Return the file's text with the edit made.

        Raises:
            StaleMutationError: the text to replace does not occur exactly once.
        """
        count = source.count(self.find)
        if count != 1:
            raise StaleMutationError(f"{self.file} has {self.find!r} {count} times, not once")
        return source.replace(self.find, self.replace)


def load_mutations(folder: Path = LISTS) -> list[Mutation]:
    """Return the mutations of every list in a folder, in the order of the files' names.

    Raises:
        msgspec.ValidationError: an entry lacks a field, or has one too many.
    """
    return [
        mutation
        for path in sorted(folder.glob("*.yaml"))
        for mutation in msgspec.yaml.decode(path.read_bytes(), type=list[Mutation])
    ]
