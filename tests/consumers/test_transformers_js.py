"""transformers.js loads the default bundle unmodified and gives Python's plain answers.

So it does with the folders that bundles are made of.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from carve_runtime import Carve
from tests.checkpoints import MAKERS
from tests.comparing import assert_close
from tests.conftest import AdoptedOf
from tests.consumers.node import node_tests
from tests.export.adopt.recipes import FOLDERS, RECIPES
from tests.hugging_face import VIEWS
from tests.support import PHOTOS, POCKET, SCENES

SOURCE = Path(__file__).parent / "transformers_js"
PAIRS = 12
PROMPT = "<image>\nUSER: {text}\nASSISTANT:"  # of pocket; transformers.js resolves none itself

#: Sizes that neither processor has to resize, or both split alike; who takes the image first.
SIZES = {"llava": (48, 48), "smolvlm": (128, 96)}
LAYOUTS = {
    "llava": "<image>\nUSER: {text}\nASSISTANT:",
    "smolvlm": "<|im_start|>User:<image>{text}<end_of_utterance>\nAssistant:",
}
QUESTIONS = "What is this?", "Where is the blue circle?"
STEPS = 8


def test_the_same_plain_answers(pocket: Carve, tmp_path: Path) -> None:
    """At the size that the model sees: transformers.js resizes otherwise than Pillow."""
    size = pocket.manifest.image.fixed_size
    assert size is not None
    pairs = []
    for index, entry in enumerate(json.loads((SCENES / "questions.json").read_text())[:PAIRS]):
        picture = Image.open(SCENES / entry["image"]).convert("RGB").resize(size[::-1])
        picture.save(tmp_path / f"{index}.png")
        answer = pocket.plain(picture, entry["question"], max_new_tokens=8)
        prompt = PROMPT.format(text=entry["question"])
        assert answer.token_ids
        pairs.append({"image": f"{index}.png", "prompt": prompt, "ids": answer.token_ids})
    (tmp_path / "pairs.json").write_text(json.dumps({"bundle": str(POCKET), "pairs": pairs}))
    assert node_tests(SOURCE, SOURCE / "plain.test.mjs", CARVE_PLAIN=str(tmp_path)) == PAIRS


@pytest.mark.parametrize("name", RECIPES)
def test_folders_that_bundles_are_made_of(name: str, adopted_of: AdoptedOf, tmp_path: Path) -> None:
    """Ids of prompts and answers are the bundle's, logits those of PyTorch's model.

    transformers.js resizes otherwise than Pillow, so it is given Hugging Face's pictures.
    """
    family, recipe = RECIPES[name]
    model = AutoModelForImageTextToText.from_pretrained(MAKERS[family](recipe, tmp_path / "model"))
    vlm, view = Carve.load(adopted_of(name)), VIEWS[family](FOLDERS / name)
    picture = Image.open(PHOTOS / "landscape.jpg").convert("RGB").resize(SIZES[name])
    picture.save(tmp_path / "image.png")
    cases: list[dict[str, Any]] = []
    expected = []
    for index, question in enumerate(QUESTIONS):
        text = f"{question} {vlm.manifest.prompts.suffix}"
        inputs = view.inputs([picture], text)
        pixels = inputs["pixel_values"].numpy().astype(np.float32)
        (tmp_path / f"{index}.pixels").write_bytes(pixels.tobytes())
        with torch.no_grad():
            expected.append(model(**inputs).logits[0, -1].numpy())
        cases.append(
            {
                "folder": str(FOLDERS / name),
                "image": "image.png",
                "imageFirst": name == "llava",
                "prompt": LAYOUTS[name].format(text=text),
                "ids": inputs["input_ids"][0].tolist(),
                "pixels": f"{index}.pixels",
                "shape": pixels.shape,
                "logits": f"{index}.logits",
                "steps": STEPS,
                "answer": vlm.plain(picture, question, max_new_tokens=STEPS).token_ids,
            }
        )
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    tests = SOURCE / "folders.test.mjs"
    assert node_tests(SOURCE, tests, CARVE_FOLDERS=str(tmp_path)) == 2 * len(QUESTIONS)
    for case, logits in zip(cases, expected, strict=True):
        actual = np.fromfile(tmp_path / case["logits"], np.float32)
        assert_close(actual, logits, rtol=0, atol=1e-4 * np.abs(logits).max())
