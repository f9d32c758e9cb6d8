"""A tokenizer for checkpoints with random weights."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<pad>", "<s>", "</s>", "<image>"]
CORPUS = [
    "USER: What letter is on the red square?\nASSISTANT: a single word or phrase.",
    "Write a general description of the image. Answer the question using yes or no.",
    "Is there a dog in the picture? Where is the blue circle, and how many are there?",
]


def byte_level_tokenizer(
    special: Sequence[str] = (), chat_template: str | None = None, **named: str
) -> PreTrainedTokenizerFast:
    """Return a small byte-level BPE tokenizer.

    Without a chat template it prepends ``<s>``. ``special`` are further special tokens, ``named``
    the values of attributes such as ``image_token``.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[*SPECIAL, *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if chat_template is None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>", **named},
        clean_up_tokenization_spaces=False,
        chat_template=chat_template,
    )
