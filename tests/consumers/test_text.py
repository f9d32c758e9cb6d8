"""Texts to ids and back in C and JavaScript, as ``tokenizers`` does it and as Python decodes it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from carve_runtime import PromptError
from carve_runtime.prompt.text import Text
from tests.conftest import Once
from tests.consumers.building import SANITIZERS, harness
from tests.consumers.c import libcarve
from tests.consumers.family_tokenizers import UNKNOWN, write_tokenizers
from tests.consumers.node import node_tests
from tests.consumers.texts import INVALID, mixed_texts
from tests.runtime.prompt.answers import Answer, write_answers
from tests.support import POCKET, ROOT

TEXTS = 2000
LISTS = 500  # of random ids
NO_TOKEN = -1
KINDS = [
    "llava",
    "llava-transformers-5",
    UNKNOWN,
    "qwen2",
    "internvl",
    "smollm2",
    "llama-3",
    "pocket",
]


@dataclass(frozen=True)
class Table:
    """What a tokenizer does with many texts.

    Attributes:
        path: its file.
        image_token: an added token that is no text, or -1.
        texts: what is encoded.
        ids: of each text; None where it is refused.
        decoded: what ``tokenizers`` makes of the ids, stripped.
    """

    path: Path
    image_token: int
    texts: list[str]
    ids: list[list[int] | None]
    decoded: list[str | None]


def table_of(path: Path, image_token: int) -> Table:
    control = [] if image_token == NO_TOKEN else [image_token]
    text, texts = Text(path, control), mixed_texts(TEXTS)
    every: list[list[int] | None] = []
    for each in texts:
        try:
            every.append(text.encode(each).tolist())
        except PromptError:
            every.append(None)
    decode = text._tokenizer.decode
    decoded = [None if ids is None else decode(ids).strip() for ids in every]
    return Table(path, image_token, texts, every, decoded)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    paths = write_tokenizers(tmp_path_factory.mktemp("tokenizers"))
    paths["pocket"] = POCKET / "tokenizer.json"
    # Some files do not say that the image token is special.
    plain = Tokenizer.from_file(str(paths["internvl"])).token_to_id("<ref>")
    assert plain is not None
    image_tokens = {"internvl": plain}
    return {name: table_of(path, image_tokens.get(name, NO_TOKEN)) for name, path in paths.items()}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, list[Answer]]:
    """The table of answers, and random ids, of which Python's pieces are not compared."""
    random = np.random.default_rng(1)
    written = write_answers(tmp_path_factory.mktemp("answers"))
    for path, rows in written.items():
        text = Text(path)
        for index in range(LISTS):
            ids = random.integers(0, 260, random.integers(0, 9)).tolist()
            rows.append(Answer(f"random {index}", ids, [text.decode(ids)], exact=False))
    return written


Run = Callable[..., bytes]


@pytest.fixture(scope="module")
def program(onnxruntime: Path, once: Once[Path]) -> Path:
    """tests/consumers/c/text.c, which ends where the sanitizers find something."""
    return once("text-harness", lambda folder: harness("text", onnxruntime, folder, *SANITIZERS))


@pytest.fixture(scope="module")
def run(program: Path) -> Run:
    def run_program(
        tokenizer: Path, mode: str, given: Sequence[bytes], image_token: int = NO_TOKEN
    ) -> bytes:
        done = subprocess.run(
            [program, tokenizer, str(image_token), mode],
            input=b"".join(each + b"\0" for each in given),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run_program


def pieces(run: Run, tokenizer: Path, lists: Sequence[Sequence[int]]) -> list[list[str]]:
    """Return what C makes of each id and of the end; joined it must be what it decodes at once."""
    given = [" ".join(map(str, ids)).encode() for ids in lists]
    written = iter(run(tokenizer, "decode", given).split(b"\0"))
    every = []
    for ids in lists:
        parts = [next(written).decode() for _ in range(len(ids) + 1)]
        assert "".join(parts) == next(written).decode()
        every.append(parts)
    return every


def decoded_alone(path: Path) -> list[tuple[int, str]]:
    """Return every id and what ``tokenizers`` makes of it, stripped.

    A zero's is left out: it is U+FFFD here, for it would end a text in C.
    """
    tokenizer = Text(path)._tokenizer
    texts = [(each, tokenizer.decode([each])) for each in range(tokenizer.get_vocab_size())]
    return [(each, text.strip()) for each, text in texts if text != "\0"]


@pytest.mark.parametrize("kind", KINDS)
def test_c_has_the_ids_and_the_text_of_tokenizers(
    kind: str, tables: dict[str, Table], run: Run
) -> None:
    table = tables[kind]
    given = [text.encode() for text in table.texts]
    lines = run(table.path, "encode", given, table.image_token).decode().splitlines()
    for text, ids, line in zip(table.texts, table.ids, lines, strict=True):
        expected = f"error {libcarve.PROMPT}" if ids is None else " ".join(map(str, ids))
        assert line == expected, repr(text)
    kept = [ids for ids in table.ids if ids is not None]
    assert len(kept) > TEXTS * 0.9
    decoded = [text for text in table.decoded if text is not None]
    assert ["".join(parts) for parts in pieces(run, table.path, kept)] == decoded


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_alone(kind: str, tables: dict[str, Table], run: Run) -> None:
    path = tables[kind].path
    text, alone = Text(path), decoded_alone(path)
    streamed = pieces(run, path, [[each] for each, _ in alone])
    assert ["".join(parts) for parts in streamed] == [expected for _, expected in alone]
    assert [(each, text.decode([each])) for each, _ in alone] == alone


def test_c_streams_what_python_streams(answers: dict[Path, list[Answer]], run: Run) -> None:
    for path, rows in answers.items():
        for row, parts in zip(rows, pieces(run, path, [row.ids for row in rows]), strict=True):
            assert row.exact is False or parts == row.pieces, row.name
            assert "".join(parts) == "".join(row.pieces), row.name


def test_bytes_that_are_no_text_are_refused(tables: dict[str, Table], run: Run) -> None:
    for table in tables.values():
        given = [data for bad in INVALID for data in (bad, b"What is " + bad, bad + b" it?")]
        lines = run(table.path, "encode", given).decode().splitlines()
        assert lines == [f"error {libcarve.PROMPT}"] * len(given)


def test_javascript_has_the_ids_and_the_text_of_tokenizers(
    tables: dict[str, Table], answers: dict[Path, list[Answer]], tmp_path: Path
) -> None:
    tables = {name: table for name, table in tables.items() if name != UNKNOWN}
    document = {
        "tables": [
            vars(table) | {"name": name, "path": str(table.path)} for name, table in tables.items()
        ],
        "tokens": [
            {"path": str(table.path), "decoded": decoded_alone(table.path)}
            for table in tables.values()
        ],
        "answers": [
            {"path": str(path), "rows": [vars(row) for row in rows]}
            for path, rows in answers.items()
        ],
    }
    (tmp_path / "texts.json").write_text(json.dumps(document))
    tests = Path(__file__).parent / "js" / "text.test.mjs"
    passed = node_tests(ROOT / "runtime" / "js", tests, CARVE_TEXTS=str(tmp_path / "texts.json"))
    assert passed > 2 * len(tables)


Edit = Callable[[dict[str, Any]], None]


def changed(**parts: Any) -> Edit:
    """Return an edit that replaces parts of a tokenizer.json; of its model too, by `model`."""

    def edit(document: dict[str, Any]) -> None:
        model = {**document["model"], **parts.get("model", {})}
        document.update({**parts, "model": model})

    return edit


def split(**changes: Any) -> dict[str, Any]:
    pattern = {"Regex": r"\w+"}
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False} | changes


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (changed(model={"type": "Unigram"}), "its model is Unigram, not BPE"),
        (changed(model={"dropout": 0.1}), "its BPE has dropout"),
        (
            changed(model={"end_of_word_suffix": "</w>"}),
            "its BPE has the option end_of_word_suffix",
        ),
        (changed(model={"unk_token": "<none>"}), "its BPE's unk_token is not in its vocabulary"),
        (changed(normalizer={"type": "Lowercase"}), "its normalizer Lowercase is not one"),
        (
            changed(normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}]}),
            "its normalizer NFKC is not one",
        ),
        (
            changed(normalizer={"type": "Replace", "pattern": {"Regex": "a"}, "content": ""}),
            "its Replace looks for a regular expression",
        ),
        (changed(pre_tokenizer={"type": "Punctuation"}), "its pre-tokenizer Punctuation is not"),
        (changed(pre_tokenizer=split()), "its Split has a pattern that it does not know"),
        (changed(pre_tokenizer=split(behavior="Removed")), "its Split is not of the kind Isolated"),
        (
            changed(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}),
            "its ByteLevel puts a space in front",
        ),
        (
            changed(added_tokens=[{"id": 5, "content": "<x>", "special": False, "lstrip": True}]),
            "its added token '<x>' looks at the characters around it",
        ),
        (changed(decoder=None), "it has no decoder"),
        (changed(decoder={"type": "WordPiece"}), "its decoder WordPiece is not one"),
        (
            changed(decoder={"type": "Strip", "content": "a", "start": 1, "stop": 0}),
            "its decoder's Strip removes other things",
        ),
    ],
)
def test_c_refuses_what_it_does_not_know(
    edit: Edit, message: str, program: Path, tmp_path: Path
) -> None:
    document = json.loads((POCKET / "tokenizer.json").read_text())
    edit(document)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    command = [str(program), str(tmp_path / "tokenizer.json"), str(NO_TOKEN), "encode"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    pattern = rf"This library cannot \w+ \w+ with this tokenizer: {re.escape(message)}"
    assert re.match(pattern, done.stderr), done.stderr
