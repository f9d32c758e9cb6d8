"""Build the checkpoint: load both models, fit the projector, join, write."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
from transformers import LlavaForConditionalGeneration

from carve_models.errors import CheckpointError
from carve_runtime.bundle import sha256
from tools.research.pocket_l.checkpoint import PROMPT, join, save
from tools.research.pocket_l.language_model import load_language_model
from tools.research.pocket_l.projector import FitSpec, fit_projector
from tools.research.pocket_l.words import PatchWords

_WEIGHTS = "model.safetensors"
_RECORD = "build.json"


@dataclass(frozen=True)
class Recipe:
    """What pocket-L is made from.

    Attributes:
        pocket: checkpoint folder whose vision tower is taken.
        language_model: GGUF file or checkpoint folder of a Llama.
        fit: the data of the fit.
    """

    pocket: Path
    language_model: Path
    fit: FitSpec

    def identity(self) -> str:
        """Return a name that changes whenever the result would."""
        weights = self.language_model
        weights = weights if weights.is_file() else weights / _WEIGHTS
        parts = [sha256(self.pocket / _WEIGHTS), sha256(weights), PROMPT, asdict(self.fit)]
        text = json.dumps(parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def build(out: Path, recipe: Recipe) -> Path:
    """Write ``out/checkpoint``, unless it is there already; return the folder."""
    folder, identity = out / "checkpoint", recipe.identity()
    if (folder / _RECORD).exists() and built_identity(out) == identity:
        click.echo(f"{folder}: up to date")
        return folder
    pocket = LlavaForConditionalGeneration.from_pretrained(recipe.pocket, dtype=torch.float32)
    tower = pocket.eval().model.vision_tower
    layers = range(1, tower.config.num_hidden_layers + 1)
    language = load_language_model(recipe.language_model)
    fit = fit_projector(tower, layers, PatchWords(language), recipe.fit)
    click.echo(f"ridge strength {fit.strength:g}, explains {fit.explained[fit.strength]:.1%}")
    unfinished = out / "checkpoint.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    save(join(tower, layers, fit.affine, language), language.tokenizer, unfinished)
    record = {
        "identity": identity,
        "pocket": sha256(recipe.pocket / _WEIGHTS),
        "language_model": recipe.language_model.name,
        "fit": asdict(recipe.fit),
        "strength": fit.strength,
        "explained": fit.explained,
    }
    (unfinished / _RECORD).write_text(json.dumps(record, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return folder


def built_identity(out: Path) -> str:
    """Return the identity of the checkpoint in ``out``.

    Raises:
        CheckpointError: there is none.
    """
    path = out / "checkpoint" / _RECORD
    if not path.exists():
        raise CheckpointError(f"there is no {path}", "run python -m tools.research.pocket_l build")
    return str(json.loads(path.read_text())["identity"])
