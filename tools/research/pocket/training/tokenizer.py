"""A small byte-level BPE tokenizer, trained on the sentences of pocket's world."""

from __future__ import annotations

import string
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tools.research.pocket.world.vocabulary import COLOR_NAMES, COLUMNS, GENERAL, ROWS, SHAPE_NAMES

_SPECIAL = ("<pad>", "<s>", "</s>", "<image>")
_VOCABULARY = 530
#: Words that templates and easy-VQA use besides those of the vocabulary. Two-letter words of the
#: scenes are left out, so that they are read letter by letter.
_SENTENCES = (
    GENERAL,
    "Answer the question using a single word or phrase.",
    "\nUSER: What letter is on the red square?\nASSISTANT: yes",
    "\nUSER: What word is on the blue circle?\nASSISTANT: no",
    "Where is the largest object? Which object is the largest, and which letter is on it?",
    "How many green objects are there? 0 1 2 3 4 5 6 7 8 9",
    "Is there a cross? What color is the diamond? What shape is the pink object?",
    "one object, few objects, several objects, many objects and no objects: a an sign, a star.",
    "what is the color of the shape? what shape is present in the image?",
    "does the image not contain a rectangle? is no teal shape present? is there not a circle?",
)


def build_tokenizer(limit: int = 1024) -> Any:
    """Return the tokenizer; the same every time, because its training text is fixed.

    Args:
        limit: ``model_max_length``.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in _SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_corpus(), trainer)
    start = core.token_to_id("<s>")
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", start)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=limit,
        clean_up_tokenization_spaces=False,
    )


def _corpus() -> list[str]:
    words = [*COLOR_NAMES, *SHAPE_NAMES, *(name + "s" for name in SHAPE_NAMES), *ROWS, *COLUMNS]
    letters = [f" {letter}" for letter in string.ascii_uppercase]
    # Every word often enough to become one token.
    return [*_SENTENCES * 4, *(f" {word}" for word in words * 8), *letters * 8]
