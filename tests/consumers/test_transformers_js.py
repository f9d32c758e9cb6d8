"""transformers.js loads the default bundle unmodified and gives Python's plain answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from PIL import Image

from carve_models.image_rules import FixedImage
from carve_runtime import Carve
from tests.consumers.building import with_node
from tests.support import POCKET, SCENES

SOURCE = Path(__file__).parent / "transformers_js"
PAIRS = 12
PROMPT = "<image>\nUSER: {text}\nASSISTANT:"  # of pocket; transformers.js resolves none itself


def test_the_same_plain_answers(pocket: Carve, tmp_path: Path) -> None:
    """At the size that the model sees: transformers.js resizes otherwise than Pillow."""
    assert (SOURCE / "node_modules").is_dir(), f"tests/setup.sh fills {SOURCE}/node_modules"
    spec = pocket.manifest.image
    assert isinstance(spec, FixedImage)
    pairs = []
    for index, entry in enumerate(json.loads((SCENES / "questions.json").read_text())[:PAIRS]):
        picture = Image.open(SCENES / entry["image"]).convert("RGB").resize(spec.size[::-1])
        picture.save(tmp_path / f"{index}.png")
        answer = pocket.plain(picture, entry["question"], max_new_tokens=8)
        prompt = PROMPT.format(text=entry["question"])
        pairs.append({"image": f"{index}.png", "prompt": prompt, "ids": answer.token_ids})
    (tmp_path / "pairs.json").write_text(json.dumps({"bundle": str(POCKET), "pairs": pairs}))
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", str(SOURCE / "plain.test.mjs")],
        cwd=SOURCE,
        env=with_node() | {"CARVE_PLAIN": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"# pass {PAIRS}" in done.stdout
