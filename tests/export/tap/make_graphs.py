"""Write ``graphs/``: one small random Llama, as three exporters write it.

    python -m tests.export.tap.make_graphs checkpoint
    python -m tests.export.tap.make_graphs genai      # needs onnxruntime-genai 0.18
    python -m tests.export.tap.make_graphs optimum    # needs optimum-onnx 0.1

``genai`` is ONNX Runtime GenAI's builder: ``GroupQueryAttention``, the same in 4 bits, and
``MultiHeadAttention``, which it writes where the first is not supported. ``optimum`` is what
bundles of transformers.js are made with.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

GRAPHS = Path(__file__).parent / "graphs"
CHECKPOINT = GRAPHS / "checkpoint"
VOCABULARY = 48
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.5,
}


def make_checkpoint(folder: Path) -> None:
    """Write a model with random weights, and a tokenizer, which exporters ask for."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SIZES)).save_pretrained(folder)
    words = {f"w{index}": index for index in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="w0", bos_token="w1", eos_token="w2"
    ).save_pretrained(folder)


def make_genai(folder: Path) -> None:
    """Write ``genai-gqa``, ``genai-int4`` and ``genai-mha`` under a folder."""
    with genai_builder() as (builder, model_class):
        _build(builder, folder / "genai-gqa", "fp32")
        _build(builder, folder / "genai-int4", "int4")
        model_class.is_gqa_supported = lambda _: False
        model_class.is_packed_attn_supported = lambda _: False
        _build(builder, folder / "genai-mha", "fp32")


@contextmanager
def genai_builder() -> Iterator[tuple[Any, Any]]:
    """Import the builder, which is a script with modules of its own beside it."""
    package = find_spec("onnxruntime_genai")
    assert package is not None
    assert package.submodule_search_locations
    sys.path.insert(0, str(Path(package.submodule_search_locations[0], "models")))
    try:
        yield import_module("builder"), import_module("builders.base").Model
    finally:
        del sys.path[0]


def _build(builder: Any, out: Path, precision: str) -> None:
    with TemporaryDirectory() as work:
        place = ("", str(CHECKPOINT), str(Path(work, "out")), precision, "cpu", work)
        builder.create_model(*place, **builder.parse_extra_options(*place, []))
        _keep(Path(work, "out"), out)


def make_optimum(folder: Path) -> None:
    """Write ``optimum`` under a folder."""
    from optimum.exporters.onnx import main_export

    with TemporaryDirectory() as work:
        main_export(
            str(CHECKPOINT),
            Path(work),
            task="text-generation-with-past",
            library_name="transformers",
            do_validation=False,
            no_post_process=True,
        )
        _keep(Path(work), folder / "optimum")


def _keep(made: Path, out: Path) -> None:
    rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for path in [*made.glob("model.onnx*"), *made.glob("genai_config.json")]:
        path.rename(out / path.name)


if __name__ == "__main__":
    makers = {"checkpoint": lambda _: make_checkpoint(CHECKPOINT)}
    makers |= {"genai": make_genai, "optimum": make_optimum}
    makers[sys.argv[1]](GRAPHS)
