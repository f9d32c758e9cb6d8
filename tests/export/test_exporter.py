"""Every case in both profiles reproduces PyTorch."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from carve_export import ExportOptions, export_bundle
from carve_export.check import MARGINS
from carve_models.errors import CheckpointError
from carve_models.manifest import OPSETS, Profile
from carve_models.names import DECODER, graph_file
from tests.checkpoints import make_llava
from tests.conftest import CheckpointOf, ExportOf
from tests.support import CASES, PROFILES, ROOT

#: Of the cases, which are small.
LARGEST_ERROR = 2e-5


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", CASES)
def test_graphs_reproduce_the_checkpoint(name: str, profile: Profile, export_of: ExportOf) -> None:
    report = export_of(name, profile)
    titles = [row.name for row in report.comparisons]
    for chunks in (
        *("one shot", "chunked", "token by token at the end"),
        *("pair, one shot", "pair, chunked"),
    ):
        assert f"logits, {chunks}" in titles
        assert f"attention, {chunks}" in titles
    for row in report.comparisons:
        print(f"{name} {profile} {row.name}: {row.error:.2e}, PyTorch {row.rounding:.2e}")
        assert 0 < row.error <= MARGINS["float32"] * row.rounding < LARGEST_ERROR


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_names_the_builders_folders(profile: Profile, export_of: ExportOf) -> None:
    folder = export_of("llava-clip-gqa", profile).folder
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for trace in (b"site-packages", str(ROOT).encode(), str(folder.parent).encode()):
                assert trace not in data, path


@pytest.mark.parametrize("profile", PROFILES)
def test_the_newest_operator_set(
    profile: Profile, checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    name, opset = "llava-clip-gqa", OPSETS[1]
    options = ExportOptions(profile=profile, opset=opset, layers=CASES[name].layers)
    report = export_bundle(str(checkpoint_of(name)), tmp_path / "bundle", options)
    assert report.manifest.opset == opset
    decoder = onnx.load(report.folder / graph_file(DECODER))
    assert {entry.domain: entry.version for entry in decoder.opset_import}[""] == opset


def test_all_layers(checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    """All are exposed; those that are used unless a question says otherwise stay the family's."""
    checkpoint = str(checkpoint_of("llava-clip-gqa"))
    usual = export_bundle(checkpoint, tmp_path / "usual").manifest
    manifest = export_bundle(checkpoint, tmp_path / "all", ExportOptions(layers="all")).manifest
    assert manifest.decoder.tapped_layers == tuple(range(manifest.decoder.layers))
    assert manifest.defaults.layers == usual.decoder.tapped_layers
    assert usual.decoder.tapped_layers != manifest.decoder.tapped_layers


def test_softcapped_attention_is_refused(tmp_path: Path) -> None:
    """Gemma 2 squashes its scores, which neither lowering does."""
    text = {"model_type": "gemma2", "attn_logit_softcapping": 50.0, "query_pre_attn_scalar": 16}
    case = CASES["llava-clip-gqa"].recipe
    text = {**case["text"], **text, "sliding_window": 512}
    checkpoint = make_llava({**case, "text": text}, tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match=r"attention uses softcap\. Only plain"):
        export_bundle(str(checkpoint), tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
