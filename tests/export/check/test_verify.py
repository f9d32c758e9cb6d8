"""carve-export verify: a bundle against its checkpoint, again, on any image."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from carve_export import ExportOptions, export_bundle
from carve_export.check.verify import VerifyOptions, verify_bundle
from carve_export.cli.main import main
from carve_models.errors import CheckpointError
from tests.checkpoints import make_llava
from tests.conftest import CheckpointOf, ExportOf
from tests.support import CASES, PHOTOS, POCKET

NAME = "llava-clip-gqa"


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


@pytest.mark.parametrize("image", [None, PHOTOS / "portrait.jpg"])
def test_a_bundle_reproduces_its_checkpoint(
    image: Path | None, export_of: ExportOf, checkpoint_of: CheckpointOf
) -> None:
    options = [] if image is None else ["--image", image]
    result = verify(export_of(NAME, "ort").folder, checkpoint_of(NAME), *options)
    assert result.exit_code == 0, result.output
    assert "reproduces" in result.stdout
    for column in ("graph", "bundle", "PyTorch", "allowed", "argmax", "seconds"):
        assert column in result.stdout
    for graph in ("vision", "embed", "decoder"):
        assert graph in result.stdout
    source = str(checkpoint_of(NAME))
    rows = verify_bundle(export_of(NAME, "ort").folder, source, VerifyOptions(image=image))
    assert all(row.passed for row in rows)
    assert {row.same_argmax for row in rows} == {True, None}
    assert sum("pair" in row.name for row in rows) >= 4


def test_other_weights_and_other_models_fail(export_of: ExportOf, tmp_path: Path) -> None:
    folder = export_of(NAME, "ort").folder
    different = make_llava(CASES[NAME].recipe | {"seed": 99}, tmp_path / "other")
    result = verify(folder, different)
    assert result.exit_code == 1
    assert re.search(
        r"Error: image features differ .* 4 times that is allowed\. Report", result.stderr
    )
    model = make_llava(CASES["llava-siglip"].recipe, tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"was not made from .*model.*\. Give the checkpoint"):
        verify_bundle(folder, str(model))


def test_wrong_use(tmp_path: Path) -> None:
    for arguments, code, message in (
        ([], 2, "Missing argument 'BUNDLE'"),
        ([tmp_path, "./absent"], 1, "there is no folder ./absent"),
        ([tmp_path, POCKET / "checkpoint"], 1, "is not a bundle"),
        ([tmp_path, "./absent", "--image", tmp_path / "no.jpg"], 2, r"no\.jpg"),
        ([tmp_path, "./absent", "--margin", "x"], 2, "not a valid float"),
    ):
        result = verify(*arguments)
        assert result.exit_code == code
        assert re.search(message, result.stderr)


@pytest.mark.usefixtures("traced")
def test_an_unchecked_export_is_verified_later(checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    options = ExportOptions(layers=CASES[NAME].layers, unchecked=True)
    report = export_bundle(str(checkpoint_of(NAME)), tmp_path / "bundle", options)
    assert report.comparisons == []
    result = verify(report.folder, checkpoint_of(NAME))
    assert result.exit_code == 0, result.output
