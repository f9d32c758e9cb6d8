"""Prompts to ids and back: text is text, whatever tokens it spells."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import PreTrainedTokenizerFast

from carve_export.checkpoint.load import Checkpoint
from carve_export.checkpoint.prompts import resolve_prompts
from carve_models.families.llava import LLAVA
from carve_runtime import BundleError, Carve, PromptError
from carve_runtime.prompt.text import Text, prompt_parts, question_text
from tests.conftest import ExportOf
from tests.runtime.prompt.answers import write_answers
from tests.support import POCKET, SCENES

SCENE = SCENES / "scene-00.jpg"
QUESTION = "What letter is on the blue cross?"


def special_ids(folder: Path) -> set[int]:
    tokens = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    return {token["id"] for token in tokens if token["special"] and token["content"] != "<unk>"}


SPELLED = "a <image> in </s> USER: or <s>ASSISTANT:</s><pad> {text} \N{SNOWMAN}"


def test_special_tokens_in_a_question_are_text(pocket: Carve, export_of: ExportOf) -> None:
    byte_level = export_of("llava-clip-gqa", "ort").folder
    for folder in (POCKET, byte_level):
        ids = Text(folder / "tokenizer.json").encode(SPELLED).tolist()
        assert ids
        assert not special_ids(folder) & set(ids)
    text = Text(byte_level / "tokenizer.json")
    assert text.decode(text.encode(SPELLED).tolist()) == SPELLED
    plain, spelled = (pocket.plain(SCENE, q) for q in (QUESTION, f"{QUESTION}</s>"))
    assert spelled.counts.decoder_tokens > plain.counts.decoder_tokens


@settings(max_examples=50, deadline=None)
@given(parts=st.lists(st.one_of(st.sampled_from(SPELLED.split()), st.text()), max_size=8))
def test_any_text_survives_a_byte_level_tokenizer(export_of: ExportOf, parts: list[str]) -> None:
    folder, written = export_of("llava-clip-gqa", "ort").folder, "".join(parts)
    text = Text(folder / "tokenizer.json")
    ids = text.encode(written).tolist()
    assert not special_ids(folder) & set(ids)
    assert text.decode(ids) == written.strip().replace("\0", "\N{REPLACEMENT CHARACTER}")


def test_a_vocabulary_without_plain_spelling(tmp_path: Path) -> None:
    """Where a special token is also an ordinary word, the question is refused, not misread."""
    tokenizer = Tokenizer(models.WordLevel({"</s>": 0, "a": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = Text(tmp_path / "tokenizer.json")
    assert text.encode("a b a").tolist() == [1, 2, 1]
    with pytest.raises(PromptError, match=re.escape("contains '</s>'") + r".*\. Rephrase"):
        text.encode("a </s> a")


def llama_like(folder: Path, scheme: str, special: bool) -> tuple[Path, Any]:
    """Write a byte-fallback BPE tokenizer as Llama's converters make them, in three styles."""
    alphabet = sorted(set("▁ ETSUNARIOabcdefghijklmnopqrstuvwxyzWILD:?.,\n"))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *alphabet]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    if scheme == "normalizer":
        steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        tokenizer.normalizer = normalizers.Sequence(steps)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(["<s>", "</s>"])
    image = AddedToken("<image>", special=special, normalized=False)
    (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([image])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
    tokenizer.enable_truncation(60)
    tokenizer.enable_padding(length=60)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return folder / "tokenizer.json", PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("scheme", ["normalizer", "first", "always", "never"])
def test_llama_like_tokenizers(scheme: str, special: bool, tmp_path: Path) -> None:
    """The prompt's stretches give the ids of the whole; truncation and padding are off."""
    path, tokenizer = llama_like(tmp_path, scheme, special)
    image = tokenizer.convert_tokens_to_ids("<image>")
    model = SimpleNamespace(config=SimpleNamespace(image_token_id=image))
    checkpoint = Checkpoint("", LLAVA, model, tokenizer, None)
    text = Text(path, (image, 2))
    prompts = resolve_prompts(checkpoint, text, LLAVA.prompts)
    assert len(text.encode("a " * 500)) > 500
    pieces = prompt_parts(prompts.single, "Is <image> </s> there?", text.encode)
    assert [piece for piece in pieces if isinstance(piece, int)] == [0]
    ids = [token for piece in pieces if not isinstance(piece, int) for token in piece.tolist()]
    assert image not in ids
    assert 2 not in ids


def pieces_of(text: Text, ids: list[int]) -> list[str]:
    """Return what each id completes, and what is left at the end."""
    heard: list[str] = []
    streamer = text.streamer(heard.append)
    pieces = []
    steps: list[Callable[[], None]] = [partial(streamer.push, token) for token in ids]
    for step in [*steps, streamer.end]:
        heard.clear()
        step()
        pieces.append("".join(heard))
    return pieces


def test_the_table_of_answers(tmp_path: Path) -> None:
    for path, answers in write_answers(tmp_path).items():
        text = Text(path)
        assert answers
        for answer in answers:
            assert pieces_of(text, answer.ids) == answer.pieces, answer.name
            assert text.decode(answer.ids) == "".join(answer.pieces), answer.name


@given(ids=st.lists(st.integers(0, 305), max_size=12))
@settings(max_examples=200, deadline=None)
def test_streamed_pieces_are_the_answer(byte_fallback: Text, ids: list[int]) -> None:
    """Whatever bytes come, and what follows them is streamed too."""
    ids = [*ids, *byte_fallback.encode(" What is this?").tolist()]
    answer = byte_fallback.decode(ids)
    assert "".join(pieces_of(byte_fallback, ids)) == answer
    assert answer == answer.strip()
    assert answer.endswith("is this?")


@pytest.fixture(scope="module")
def byte_fallback(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return Text(llama_like(tmp_path_factory.mktemp("tokenizer"), "first", True)[0])


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (None, "is missing"),
        (decoders.WordPiece(), "has WordPiece, which"),
        (decoders.Replace(Regex("a+"), "a"), "is not a plain text"),
        (decoders.Strip(" ", 1, 0), "strips other things"),
        (decoders.Sequence([decoders.Fuse(), decoders.Strip("a", 1, 0)]), "strips other things"),
        (decoders.Sequence([decoders.Fuse(), decoders.ByteLevel()]), "has ByteLevel behind"),
    ],
)
def test_decoders_that_do_not_decode_token_by_token(
    decoder: Any, message: str, tmp_path: Path
) -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    tokenizer.decoder = decoder
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(BundleError, match=f"decoder of tokenizer.json .*{message}"):
        Text(tmp_path / "tokenizer.json")


def test_the_suffix_follows_every_question(pocket: Carve) -> None:
    prompts = replace(pocket.manifest.prompts, suffix="Answer briefly.")
    assert question_text("Why?", prompts) == "Why? Answer briefly."
    assert question_text("Why?", replace(prompts, suffix="")) == "Why?"


@pytest.mark.parametrize("question", [None, 3, b"what", ["what"], "x\ud800y"])
def test_a_question_that_is_no_text(pocket: Carve, question: Any) -> None:
    with pytest.raises(PromptError, match=r"Pass a str"):
        pocket.plain(SCENE, question)
