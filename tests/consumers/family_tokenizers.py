"""Tokenizers built as those of the families, trained on this repository's pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from tests.consumers.texts import SCRIPTS
from tests.support import ROOT

VOCABULARY = 1200
EMPTY_LINES = 2000  # often enough to become a token
#: The kind that has characters without tokens. No family's is; JavaScript does it otherwise.
UNKNOWN = "unknown"
_SPACE_SIGN = "▁"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN2 = _CONTRACTIONS + r"\p{N}" + _OTHERS
_LLAMA_3 = _CONTRACTIONS + r"\p{N}{1,3}" + _OTHERS


def _trained(splitter: Any, alphabet: Sequence[str]) -> Any:
    """Return the "model" of a tokenizer.json, trained on the repository's pages."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    # Empty lines are one token in the families' vocabularies.
    texts = [*(page.read_text() for page in pages), *["\n\n"] * EMPTY_LINES]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = splitter
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        limit_alphabet=250,
        initial_alphabet=list(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *SCRIPTS * 8], trainer)
    return json.loads(tokenizer.to_str())["model"]


def _llama(*, metaspace: bool, lacking: int = 0) -> Tokenizer:
    """Return LLaVA-1.5's: BPE that falls back to bytes.

    Args:
        metaspace: as transformers 5 writes it.
        lacking: so many bytes have no token.
    """
    model = _trained(pre_tokenizers.Metaspace(prepend_scheme="always"), [])
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(0x100 - lacking))]
    vocabulary = {token: index for index, token in enumerate([*first, *model["vocab"]])}
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        steps = [normalizers.Prepend(_SPACE_SIGN), normalizers.Replace(" ", _SPACE_SIGN)]
        tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(_SPACE_SIGN, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", "<image>", "<pad>"])
    return tokenizer


def _byte_level(
    splitter: Any,
    special: Sequence[str],
    plain: Sequence[str] = (),
    *,
    lacking: int = 0,
    nfc: bool = False,
    whole_words: bool = False,
) -> Tokenizer:
    """Return a tokenizer over bytes.

    Args:
        splitter: the step before ByteLevel, which splits by GPT-2's expression behind digits.
        special: special tokens.
        plain: added tokens that are text.
        lacking: so many bytes have no token, unless the corpus has them.
        nfc: characters are composed.
        whole_words: a word of the vocabulary is not merged.
    """
    splits = isinstance(splitter, pre_tokenizers.Digits)
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=splits)
    before = pre_tokenizers.Sequence([splitter, spelled])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = _trained(before, alphabet[: len(alphabet) - lacking])
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(model["vocab"], merges, ignore_merges=whole_words))
    tokenizer.normalizer = normalizers.NFC() if nfc else None
    tokenizer.pre_tokenizer = before
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in plain])
    return tokenizer


def _split(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def write_tokenizers(folder: Path) -> dict[str, Path]:
    """Write a tokenizer.json for each family's kind; return them by name."""
    chat = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tools = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
    kinds = {
        "llava": _llama(metaspace=False),
        "llava-transformers-5": _llama(metaspace=True),
        UNKNOWN: _llama(metaspace=True, lacking=100),
        "qwen2": _byte_level(
            _split(_QWEN2), [*chat, "<|vision_start|>", "<|image_pad|>"], tools, nfc=True
        ),
        "internvl": _byte_level(
            _split(_QWEN2), [*chat, "<img>", "</img>", "<IMG_CONTEXT>"], ["<ref>"], nfc=True
        ),
        "smollm2": _byte_level(
            pre_tokenizers.Digits(individual_digits=True),
            [*chat, "<fake_token_around_image>", "<row_1_col_1>"],
            lacking=40,
        ),
        "llama-3": _byte_level(
            _split(_LLAMA_3), ["<|begin_of_text|>", "<image>"], whole_words=True
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.json" for name in kinds}
    for name, tokenizer in kinds.items():
        tokenizer.save(str(paths[name]))
    return paths
