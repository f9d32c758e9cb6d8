"""ONNX Runtime GenAI itself: its builder's graphs of today, and tapped ones in its generator."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from carve_export.tap import TapOptions, tap_decoder
from carve_models import names
from tests.comparing import assert_close
from tests.export.tap.decoders import run, step
from tests.export.tap.make_graphs import GRAPHS

genai = pytest.importorskip("onnxruntime_genai", reason="needs the extra bench")
PROMPT = [5, 9, 33, 17, 40]
MOST = 20


def test_the_graphs_are_those_of_its_builder(tmp_path: Path) -> None:
    code = "import sys; from tests.export.tap.make_graphs import *; make_genai(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, capture_output=True)
    for folder in GRAPHS.glob("genai-*"):
        kept, fresh = (
            onnx.load(place / "model.onnx") for place in (folder, tmp_path / folder.name)
        )
        assert fresh.graph.node == kept.graph.node, folder.name
        assert fresh.graph.initializer == kept.graph.initializer, folder.name


def test_its_generator_returns_the_rows(tmp_path: Path) -> None:
    folder = tmp_path / "tapped"
    shutil.copytree(GRAPHS / "genai-gqa", folder)
    decoder = folder / "model.onnx"
    tap_decoder(decoder, decoder, TapOptions(overwrite=True))
    parameters = genai.GeneratorParams(model := genai.Model(str(folder)))
    parameters.set_search_options(max_length=MOST, do_sample=False)
    generator = genai.Generator(model, parameters)
    generator.append_tokens(np.array(PROMPT, np.int32))
    generator.generate_next_token()
    generator.generate_next_token()
    ids = [int(token) for token in generator.get_sequence(0)[:-1]]
    rows = generator.get_output(names.LAST_ROW)  # of the step that chose the last token
    assert rows.shape == (1, 2, MOST)  # its cache is one buffer
    expected = run(decoder, step(ids, 0, None, 2))[names.LAST_ROW]
    assert_close(rows[:, :, : len(ids)], expected, rtol=0, atol=1e-5)
    assert not rows[:, :, len(ids) :].any()
