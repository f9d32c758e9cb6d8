"""Options of one operator, against the attention that ONNX Runtime's own kernel returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_export.tap import TapOptions, tap_decoder
from carve_models import names
from tests.comparing import assert_close
from tests.export.tap.decoders import HEADS, KV_HEADS, WIDER, Arrays, run, write_group_query

OPTIONS: dict[str, dict[str, Any]] = {
    "separate": {},
    "packed": {"packed": True},
    "scale": {"scale": 0.6},
    "rotary": {"do_rotary": 1},
    "packed rotary": {"do_rotary": 1, "packed": True},
    "interleaved": {"do_rotary": 1, "rotary_interleaved": 1},
    "part of each head rotary": {"do_rotary": 1, "rotary_half": 8},
    "softcap": {"softcap": 1.5},
    "window": {"local_window_size": 3},
    "all": {"do_rotary": 1, "packed": True, "softcap": 2.0, "local_window_size": 4, "scale": 0.5},
}


def inputs(batch: int, new: int, past: int, lengths: list[int], *, packed: bool) -> Arrays:
    random = np.random.default_rng(3)

    def normal(*shape: int) -> np.ndarray:
        return 2 * random.standard_normal(shape, np.float32)

    states = (HEADS + 2 * KV_HEADS if packed else HEADS) * WIDER
    made = {"inputs_embeds": normal(batch, new, states)}
    made |= {name: normal(batch, new, KV_HEADS * WIDER) for name in ("keys", "values")}
    for kind in ("key", "value"):
        made[f"past_key_values.0.{kind}"] = normal(batch, KV_HEADS, past, WIDER)
    made["last"] = np.array(lengths, np.int32) - 1
    made["total"] = np.array(max(lengths), np.int32)
    return made


@pytest.mark.parametrize(("new", "past"), [(6, 0), (1, 6), (3, 4)], ids=["prompt", "step", "chunk"])
@pytest.mark.parametrize("name", OPTIONS)
def test_rows(name: str, new: int, past: int, tmp_path: Path) -> None:
    options = dict(OPTIONS[name])
    decoder, out = tmp_path / "decoder.onnx", tmp_path / "tapped.onnx"
    write_group_query(decoder, **options)
    tap_decoder(decoder, out, TapOptions(unchecked=True))
    packed = options.get("packed", False)
    results = run(out, inputs(1, new, past, [past + new], packed=packed))
    expected = results["own"][:, :, -1].mean(axis=1)
    assert_close(results[names.LAST_ROW][:, 0], expected, rtol=0, atol=1e-6)


def test_prompts_of_different_lengths(tmp_path: Path) -> None:
    decoder, out = tmp_path / "decoder.onnx", tmp_path / "tapped.onnx"
    write_group_query(decoder, do_rotary=1)
    tap_decoder(decoder, out, TapOptions(unchecked=True))
    together = inputs(2, 6, 0, [6, 4], packed=False)
    rows = run(out, together)[names.LAST_ROW][:, 0]
    for index, length in enumerate((6, 4)):
        alone = {name: array[index : index + 1] for name, array in together.items() if array.ndim}
        for name in ("inputs_embeds", "keys", "values"):
            alone[name] = alone[name][:, :length]
        alone["total"] = np.array(length, np.int32)
        expected = run(out, alone)[names.LAST_ROW][0, 0]
        assert_close(rows[index, :length], expected, rtol=0, atol=1e-6)
        assert not rows[index, length:].any()
