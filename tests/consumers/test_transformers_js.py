"""transformers.js loads the default bundle unmodified and gives Python's plain answers."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from carve_runtime import Carve
from tests.consumers.node import node_tests
from tests.support import POCKET, SCENES

SOURCE = Path(__file__).parent / "transformers_js"
PAIRS = 12
PROMPT = "<image>\nUSER: {text}\nASSISTANT:"  # of pocket; transformers.js resolves none itself


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
