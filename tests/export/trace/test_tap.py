"""The decoder returns one attention row per tapped layer, and nothing of the size of a map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from carve_export.checkpoint.load import load_checkpoint
from carve_export.trace.decoder import traceable_decoder
from carve_export.trace.graph import trace_graph
from carve_models import names
from carve_models.manifest import DecoderSpec, Profile
from tests.comparing import assert_close
from tests.conftest import CheckpointOf, ExportOf
from tests.support import PROFILES

CASE = "llava-clip-gqa"
PAST, NEW = 37, 24
BATCH_ONE = 1


def feeds(spec: DecoderSpec) -> dict[str, Any]:
    random = np.random.default_rng(0)
    cache_shape = (BATCH_ONE, spec.key_value_heads, PAST, spec.head_dim)
    arrays = {
        names.INPUTS_EMBEDS: random.standard_normal((BATCH_ONE, NEW, spec.hidden_size), np.float32),
        names.ATTENTION_MASK: np.ones((BATCH_ONE, PAST + NEW), np.int64),
        names.POSITION_IDS: np.arange(PAST, PAST + NEW)[None],
    }
    past = names.past_names(range(spec.layers))
    return arrays | {name: random.standard_normal(cache_shape, np.float32) for name in past}


def run(model: Any, spec: DecoderSpec, optimize: bool = True) -> dict[str, Any]:
    options = onnxruntime.SessionOptions()
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model if isinstance(model, str) else model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    outputs = [node.name for node in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, feeds(spec)), strict=True))


def ancestors(graph: Any, outputs: set[str]) -> set[str]:
    """Return the names of all tensors that the outputs depend on."""
    makers = {name: node for node in graph.node for name in node.output}
    reached: set[str] = set()
    pending = list(outputs)
    while pending:
        name = pending.pop()
        if name in reached or name not in makers:
            continue
        reached.add(name)
        pending.extend(makers[name].input)
    return reached


@pytest.mark.parametrize("profile", PROFILES)
def test_the_tap_adds_no_tensor_larger_than_heads_by_keys(
    profile: Profile, export_of: ExportOf
) -> None:
    report = export_of(CASE, profile)
    spec = report.manifest.decoder
    model = onnx.load(report.folder / names.graph_file(names.DECODER))
    rest = {value.name for value in model.graph.output} - {names.LAST_ROW}
    tap_only = ancestors(model.graph, {names.LAST_ROW}) - ancestors(model.graph, rest)
    assert tap_only
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in sorted(tap_only - known)
    )
    arrays = run(model, spec, optimize=False)

    total = PAST + NEW
    bound = spec.attention_heads * total
    assert bound < spec.key_value_heads * spec.head_dim * total  # a transposed cache would show
    sizes = {name: arrays[name].size for name in tap_only - {names.LAST_ROW}}
    largest = max(sizes, key=lambda name: sizes[name])
    print(f"{profile}: {len(sizes)} tensors of the tap, largest {largest} {arrays[largest].shape}")
    assert sizes[largest] <= bound
    tapped = len(spec.tapped_layers)
    assert arrays[names.LAST_ROW].shape == (BATCH_ONE, tapped, total)
    assert arrays[names.LAST_ROW].dtype == np.float32
    assert_close(arrays[names.LAST_ROW].sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("profile", PROFILES)
def test_tapped_and_untapped_logits_are_equal(
    profile: Profile, export_of: ExportOf, checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    report = export_of(CASE, profile)
    spec = report.manifest.decoder
    checkpoint = load_checkpoint(str(checkpoint_of(CASE)))
    untapped = traceable_decoder(checkpoint, spec, profile, [replace(spec.whole, tapped=())])
    graph = trace_graph(untapped, tmp_path, opset=report.manifest.opset)
    assert names.LAST_ROW not in [tensor.name for tensor in graph.outputs]
    with_tap = run(str(report.folder / names.graph_file(names.DECODER)), spec)
    without = run(str(tmp_path / graph.file), spec)
    assert_close(with_tap[names.LOGITS], without[names.LOGITS])


@pytest.mark.parametrize("profile", PROFILES)
def test_portable_uses_standard_operators_only(profile: Profile, export_of: ExportOf) -> None:
    folder = export_of(CASE, profile).folder
    domains = {
        node.domain
        for path in (folder / "onnx").glob("*.onnx")
        for node in onnx.load(path).graph.node
    }
    assert domains == ({""} if profile == "portable" else {"", "com.microsoft"})


def test_external_data(export_of: ExportOf, checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    """Weights beside the graph give the same logits; shape constants stay inside."""
    inline = export_of(CASE, "ort")
    spec = inline.manifest.decoder
    decoder = traceable_decoder(load_checkpoint(str(checkpoint_of(CASE))), spec, "ort", spec.parts)
    outside = trace_graph(decoder, tmp_path, opset=inline.manifest.opset, external_above=0)
    assert outside == inline.manifest.graphs[names.DECODER]
    path = tmp_path / outside.file
    assert path.with_name("decoder_model_merged.onnx_data").stat().st_size > path.stat().st_size
    actual, expected = run(str(path), spec), run(str(inline.folder / outside.file), spec)
    np.testing.assert_array_equal(actual[names.LOGITS], expected[names.LOGITS])
