"""Write ``folders/``: small random models, laid out and named as transformers.js reads them.

    python -m tests.export.adopt.make_folders     # needs onnxruntime-genai 0.18

Both have the files and the interfaces of the hub's folders, whose exporters are not published:

* ``smolvlm``: a vision encoder over (1, views, 3, h, w) and a mask of pixels, traced by
  ``torch.onnx``; decoders of ONNX Runtime GenAI's builder without the embedding, in float32,
  float16 and 4 bits, with ``GroupQueryAttention`` and without ``position_ids``; in the place of
  ``q4f16`` one with ``MultiHeadAttention``, which cannot go on over a cache.
* ``llava``: all three traced by ``torch.onnx``; a decoder of standard operators with
  ``position_ids``, which returns the logits of every position.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile, rmtree
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim
from transformers import AutoTokenizer, DynamicCache, LlamaForCausalLM

from tests.checkpoints import MAKERS
from tests.export.adopt.recipes import FOLDERS, RECIPES
from tests.export.tap.make_graphs import genai_builder

#: Precision, execution provider and file of each decoder that GenAI's builder writes.
BUILT = (
    ("fp32", "cpu", "decoder_model_merged"),
    ("int4", "cpu", "decoder_model_merged_q4"),
    ("fp16", "webgpu", "decoder_model_merged_fp16"),
    ("fp16", "cpu", "decoder_model_merged_q4f16"),
)
AUTO: Any = Dim.AUTO
PAST = "past_key_values"
PROMPT, CACHED = 5, 3  # lengths of the traced example


class TiledVision(nn.Module):
    """Views of images and their mask in, features of each view out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision, self.connector = model.vision_model, model.connector
        self.patch = model.config.vision_config.patch_size

    def forward(self, pixel_values: Tensor, pixel_attention_mask: Tensor) -> Tensor:
        """Return (views that are not empty, tokens, hidden), as the model computes them."""
        _, _, channels, height, width = pixel_values.shape
        views = pixel_values.reshape(-1, channels, height, width)
        real = (views == 0).sum(dim=(1, 2, 3)) != channels * height * width
        mask = pixel_attention_mask.reshape(-1, height, width)[real]
        patches = mask.unfold(1, self.patch, self.patch).unfold(2, self.patch, self.patch)
        seen = self.vision(
            pixel_values=views[real], patch_attention_mask=patches.sum(dim=(-1, -2)) > 0
        )
        features: Tensor = self.connector(seen.last_hidden_state)
        return features


class PlainVision(nn.Module):
    """Images in, features of each out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision, self.connector = model.vision_tower, model.multi_modal_projector
        self.layer = model.config.vision_feature_layer

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return (B, tokens, hidden), without the class token."""
        seen = self.vision(pixel_values, output_hidden_states=True)
        features: Tensor = self.connector(seen.hidden_states[self.layer][:, 1:])
        return features


class Embedding(nn.Module):
    """Ids in, embeddings out."""

    def __init__(self, table: nn.Module) -> None:
        super().__init__()
        self.table = table

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return (B, S, hidden)."""
        embeds: Tensor = self.table(input_ids)
        return embeds


class Decoder(nn.Module):
    """Embeddings and a cache in, logits of every position and a longer cache out."""

    def __init__(self, model: Any, head: nn.Module) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """Return ``logits`` and ``present``."""
        cache = DynamicCache()
        for layer in range(len(past_key_values) // 2):
            cache.update(*past_key_values[2 * layer : 2 * layer + 2], layer)
        new, total = inputs_embeds.shape[1], attention_mask.shape[1]
        places = torch.arange(total)
        visible = places[None] <= (places[total - new :])[:, None]
        visible = visible[None, None] & (attention_mask[:, None, None] > 0)
        mask = torch.where(visible, 0.0, torch.finfo(torch.float32).min)
        states = self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        present = [each for layer in cache.layers for each in (layer.keys, layer.values)]
        return self.head(states), *present


def trace(
    module: nn.Module, inputs: Mapping[str, Any], outputs: list[str], shapes: Any, path: Path
) -> None:
    """Write a module as ``torch.onnx`` traces it, without the names of this machine's folders."""
    program = torch.onnx.export(
        module.eval(),
        kwargs=dict(inputs),
        dynamic_shapes=shapes,
        input_names=[name for name in inputs if name != PAST] + past_names(inputs),
        output_names=outputs,
        opset_version=18,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    graph = program.model.graph
    nodes = list(graph.all_nodes())
    values = [value for node in nodes for value in node.outputs]
    for owner in (
        program.model,
        graph,
        *nodes,
        *values,
        *graph.inputs,
        *graph.initializers.values(),
    ):
        owner.metadata_props.clear()
        owner.doc_string = None
    ir.save(program.model, path)


def past_names(inputs: Mapping[str, Any]) -> list[str]:
    """Return the names of a cache's tensors, if there is one."""
    count = len(inputs.get(PAST, [])) // 2
    return [f"{PAST}.{i}.{kind}" for i in range(count) for kind in ("key", "value")]


def trace_embedding(embedding: nn.Module, folder: Path) -> None:
    """Write ``embed_tokens``."""
    inputs = {"input_ids": torch.ones(1, PROMPT, dtype=torch.int64)}
    shapes = {"input_ids": {0: AUTO, 1: AUTO}}
    path = folder / "embed_tokens.onnx"
    trace(Embedding(embedding), inputs, ["inputs_embeds"], shapes, path)


def trace_decoder(model: Any, head: nn.Module, folder: Path) -> None:
    """Write ``decoder_model_merged``."""
    config = model.config
    cache = torch.randn(1, config.num_key_value_heads, CACHED, config.head_dim)
    past = [cache.clone() for _ in range(2 * config.num_hidden_layers)]
    inputs = {
        "inputs_embeds": torch.randn(1, PROMPT, config.hidden_size),
        "attention_mask": torch.ones(1, CACHED + PROMPT, dtype=torch.int64),
        "position_ids": torch.arange(CACHED, CACHED + PROMPT)[None],
        PAST: past,
    }
    shapes: dict[str, Any] = {name: {0: AUTO, 1: AUTO} for name in inputs}
    shapes[PAST] = [{0: AUTO, 2: AUTO} for _ in past]
    names = [name.replace(PAST, "present") for name in past_names(inputs)]
    path = folder / "decoder_model_merged.onnx"
    trace(Decoder(model, head), inputs, ["logits", *names], shapes, path)


def build_decoders(model: Any, head: nn.Module, checkpoint: Path, folder: Path) -> None:
    """Write the decoders of GenAI's builder."""
    text = LlamaForCausalLM(model.config)
    text.model, text.lm_head = model, head
    with TemporaryDirectory() as work, genai_builder() as (builder, _):
        text.save_pretrained(work)
        AutoTokenizer.from_pretrained(checkpoint).save_pretrained(work)
        for precision, provider, name in BUILT:
            out = Path(work, name)
            place = ("", work, str(out), precision, provider, work)
            options = builder.parse_extra_options(*place, ["exclude_embeds=true"])
            builder.create_model(*place, **options)
            decoder = onnx.load(out / "model.onnx")
            say_width(decoder.graph, model.config.head_dim)
            onnx.save(decoder, folder / f"{name}.onnx")


def say_width(graph: onnx.GraphProto, width: int) -> None:
    """Write the width of a head into the cache's shapes, of which transformers.js makes a cache."""
    for value in [*graph.input, *graph.output]:
        if value.name.startswith((PAST, "present")):
            value.type.tensor_type.shape.dim[-1].dim_value = width


def keep(checkpoint: Path, folder: Path, processor: Mapping[str, Any]) -> None:
    """Copy what is beside a checkpoint's weights, and write what transformers.js asks for."""
    for path in checkpoint.iterdir():
        if path.suffix in {".json", ".jinja"} and "video" not in path.name:
            copyfile(path, folder / path.name)
    image = folder / "preprocessor_config.json"
    named = {"processor_class": processor["processor_class"]}
    image.write_text(json.dumps(json.loads(image.read_text()) | named, indent=2) + "\n")
    (folder / "processor_config.json").write_text(json.dumps(processor, indent=2) + "\n")


def make_smolvlm(folder: Path) -> None:
    """Write ``smolvlm``."""
    from transformers import SmolVLMForConditionalGeneration

    family, recipe = RECIPES["smolvlm"]
    vision = recipe["vision"]
    with TemporaryDirectory() as work:
        checkpoint = MAKERS[family](recipe, Path(work))
        model = SmolVLMForConditionalGeneration.from_pretrained(
            checkpoint, attn_implementation="eager"
        )
        tokens = (vision["image_size"] // vision["patch_size"] // recipe["scale_factor"]) ** 2
        keep(checkpoint, folder, {"image_seq_len": tokens, "processor_class": "SmolVLMProcessor"})
        side, graphs = vision["image_size"], folder / "onnx"
        mask = torch.ones(1, 5, side, side, dtype=torch.bool)
        inputs = {
            "pixel_values": torch.randn(1, 5, 3, side, side),
            "pixel_attention_mask": mask,
        }
        shapes = {name: {0: AUTO, 1: AUTO} for name in inputs}
        path = graphs / "vision_encoder.onnx"
        trace(TiledVision(model.model), inputs, ["image_features"], shapes, path)
        trace_embedding(model.model.text_model.embed_tokens, graphs)
        build_decoders(model.model.text_model, model.lm_head, checkpoint, graphs)


def make_llava(folder: Path) -> None:
    """Write ``llava``."""
    from transformers import LlavaForConditionalGeneration

    family, recipe = RECIPES["llava"]
    vision = recipe["vision"]
    with TemporaryDirectory() as work:
        checkpoint = MAKERS[family](recipe, Path(work))
        model = LlavaForConditionalGeneration.from_pretrained(
            checkpoint, attn_implementation="eager"
        )
        processor = json.loads((checkpoint / "processor_config.json").read_text())
        processor = {name: value for name, value in processor.items() if name != "image_processor"}
        # transformers.js knows of no class token that is dropped, and would count it.
        tokens = {"num_additional_image_tokens": 0, "vision_feature_select_strategy": "full"}
        keep(checkpoint, folder, processor | tokens)
        graphs, size = folder / "onnx", (3, vision["image_size"], vision["image_size"])
        inputs = {"pixel_values": torch.randn(2, *size)}
        path = graphs / "vision_encoder.onnx"
        trace(
            PlainVision(model.model), inputs, ["image_features"], {"pixel_values": {0: AUTO}}, path
        )
        trace_embedding(model.model.language_model.embed_tokens, graphs)
        trace_decoder(model.model.language_model, model.lm_head, graphs)


if __name__ == "__main__":
    for name, make in (("smolvlm", make_smolvlm), ("llava", make_llava)):
        rmtree(FOLDERS / name, ignore_errors=True)
        (FOLDERS / name / "onnx").mkdir(parents=True)
        make(FOLDERS / name)
