"""From the command line to the report, with a tiny random Llama in SmolLM2's place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

from carve_models.errors import CheckpointError
from carve_runtime.decoder.model import Model
from tests.checkpoints.llama import LAYERS, save_tiny_llama
from tests.comparing import assert_close
from tests.support import POCKET
from tools.research.pocket.world.cases import cases
from tools.research.pocket.world.labels import patch_labels
from tools.research.pocket.world.model_input import GRID, IMAGE_TOKENS, PATCH
from tools.research.pocket.world.views import MAX_OBJECTS, OBJECT
from tools.research.pocket.world.vocabulary import COLOR_NAMES, SHAPE_NAMES, TEXTS
from tools.research.pocket_l.__main__ import main
from tools.research.pocket_l.build import built_identity, export
from tools.research.pocket_l.checkpoint import PROMPT
from tools.research.pocket_l.fit.words import PatchWords
from tools.research.pocket_l.pointing.questions import scene_questions
from tools.shared.models.bundles import fixed_grid
from tools.shared.models.language_model import load_language_model
from tools.shared.models.passes import first_attention


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the checkpoint of a tiny random language model."""
    folder = tmp_path_factory.mktemp("llama")
    save_tiny_llama(folder)
    return folder


@pytest.fixture(scope="session")
def built(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build and measure once; return the output folder."""
    out = tmp_path_factory.mktemp("pocket-l")
    build(out, tiny_llama)
    run(out, "measure", "--scenes", "3", "--questions", "1")
    return out


def run(out: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["--out", str(out), "--threads", "1", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def build(out: Path, llama: Path) -> str:
    pocket = POCKET / "checkpoint"
    return run(
        out, "build", "--pocket", str(pocket), "--language-model", str(llama), "--views", "6"
    )


def test_the_report_is_complete(built: Path) -> None:
    findings = json.loads((built / "report" / "findings.json").read_text())
    assert findings["questions"] == [3, 3]
    assert len(findings["curves"]["contrast"]) == LAYERS + 1
    assert "within one token" in (built / "report" / "findings.md").read_text()
    for name in ("layers", "examples"):
        assert Image.open(built / "report" / f"{name}.png").size[0] > 100


def test_nothing_is_done_twice(built: Path, tiny_llama: Path) -> None:
    files = sorted(built.glob("attention-*/*.npy"))
    assert len(files) == 6
    before = [file.stat().st_mtime_ns for file in files]
    assert "up to date" in build(built, tiny_llama)
    run(built, "measure", "--scenes", "3", "--questions", "1")
    assert [file.stat().st_mtime_ns for file in files] == before


def test_a_missing_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="pocket_l build"):
        built_identity(tmp_path)


def test_rows_are_those_of_each_prompt_alone(built: Path) -> None:
    folder = built / "checkpoint"
    image = next(scene_questions("dev", 1, 1)).image
    texts = ["What letter is on the red square?", "Where?"]
    _, rows = first_attention(Model(export(built)), image, texts)
    assert rows.shape == (len(texts), LAYERS, IMAGE_TOKENS)
    model = LlavaForConditionalGeneration.from_pretrained(folder, attn_implementation="eager")
    processor = AutoProcessor.from_pretrained(folder)
    for text, actual in zip(texts, rows, strict=True):
        prompt = PROMPT.format(text=text)
        inputs = processor(images=image, text=prompt, return_tensors="pt")
        where = inputs["input_ids"][0] == model.config.image_token_id
        with torch.inference_mode():
            output = model(**inputs, output_attentions=True)
        expected = torch.stack([layer[0, :, -1, where].mean(dim=0) for layer in output.attentions])
        assert_close(actual, expected.numpy(), rtol=1e-4, atol=1e-7)


def test_the_bundle_exposes_every_layer(built: Path) -> None:
    manifest = export(built).manifest
    assert manifest.decoder.tapped_layers == tuple(range(LAYERS))
    assert fixed_grid(manifest) == (GRID, GRID)


def test_patches_are_described_in_words(tiny_llama: Path) -> None:
    language = load_language_model(tiny_llama)
    color, shape, text = COLOR_NAMES.index("red"), SHAPE_NAMES.index("square"), TEXTS.index("K")
    side = 4 * PATCH
    objects = np.array([(side, side, side, side, 1.0, color, shape, text)], OBJECT)
    labels = patch_labels(objects)
    actual = PatchWords(language).targets(labels)
    assert actual.shape == (IMAGE_TOKENS, language.embeddings.shape[1])
    read = int(labels.text.argmax())

    def embedding(text: str) -> np.ndarray:
        ids = language.tokenizer(text, add_special_tokens=False).input_ids
        return np.asarray(language.embeddings[ids].sum(dim=0).numpy())

    expected = embedding(" red") + embedding(" square") + embedding(" K")
    assert_close(actual[read], expected, rtol=1e-5, atol=1e-6)
    assert_close(actual[-1], embedding(" background"), rtol=1e-6)


def test_questions_are_about_letters_and_know_every_object() -> None:
    (scene,) = scene_questions("dev", 1, 2)
    every = list(cases("dev", "small", 1, MAX_OBJECTS))
    letters = [case for case in every if len(case.answer) == 1]
    assert list(scene.questions) == [case.question for case in letters[:2]]
    assert all("letter" in question for question in scene.questions)
    assert len(scene.objects) == len(every)
    for case, token in zip(letters, scene.targets, strict=False):
        assert case.target is not None
        side = case.image.width / GRID
        assert tuple(token) == (int(case.target.y // side), int(case.target.x // side))
