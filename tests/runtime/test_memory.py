"""The memory budget is what the files and the caches really take."""

from __future__ import annotations

import json

import numpy as np
from click.testing import CliRunner

from carve_models import names
from carve_models.manifest import read_manifest
from carve_runtime import Carve
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import open_bundle
from carve_runtime.cli.main import main
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.memory import memory_budget
from tests.support import POCKET


def test_the_budget_of_pocket(pocket: Carve) -> None:
    manifest = read_manifest(POCKET)
    budget = memory_budget(manifest)
    assert sum(budget.values()) == 2 * budget["total"]
    for name in (names.VISION_ENCODER, names.EMBED_TOKENS, names.DECODER):
        assert budget[f"weights {name}"] == (POCKET / names.graph_file(name)).stat().st_size
    (cache,) = (name for name in budget if name.startswith("cache"))
    positions = int(cache.split()[2])
    real = Decoder(open_bundle(POCKET), BackendSettings(threads=1)).empty(positions)
    assert real.capacity is not None
    assert budget[cache] * real.capacity == real.nbytes * positions
    assert budget["features"] == 2 * np.prod((pocket.manifest.image.fewest_tokens, 128)) * 4


def test_the_command() -> None:
    shown = CliRunner().invoke(main, ["info", "default", "--memory"])
    assert shown.exit_code == 0, shown.output
    assert "MB" in shown.stdout.splitlines()[0]
    as_json = CliRunner().invoke(main, ["info", "default", "--memory", "--json"])
    assert json.loads(as_json.stdout) == memory_budget(read_manifest(POCKET))
