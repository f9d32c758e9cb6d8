"""Families that the package does not know: declared in a file, or refused with what they lack."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from carve_export import ExportOptions, export_bundle
from carve_export.check.verify import VerifyOptions, verify_bundle
from carve_models.errors import CarveError, CheckpointError, FamilyError
from carve_runtime import Carve
from tests.checkpoints.qwen import qwen_tokenizer, special_ids, text_settings
from tests.checkpoints.saving import save
from tests.checkpoints.tokenizer import byte_level_tokenizer
from tests.conftest import CheckpointOf
from tests.support import CASES, PHOTOS, ROOT

PALIGEMMA = """\
from carve_models.families.family import (
    Family, FixedImages, LayerRule, Modules, PromptLayout, TowerFeatures)

PALIGEMMA = Family(
    name="paligemma", title="PaliGemma",
    architectures=("PaliGemmaForConditionalGeneration",), vision_models=("siglip_vision_model",),
    modules=Modules(
        text_model="model.language_model", embed_tokens="model.language_model.embed_tokens",
        lm_head="lm_head", vision_tower="model.vision_tower",
        projector="model.multi_modal_projector"),
    features=TowerFeatures(), images=FixedImages(),
    prompts=PromptLayout(single="<image>{text}\\n", pair="<image><image>{text}\\n"),
    layers=LayerRule(first=0, last=0, depth=1),
)
"""


def documented_family(folder: Path) -> str:
    """Write the example of docs/families.md to a file and return the option that names it."""
    text = (ROOT / "docs" / "families.md").read_text()
    example = re.search(r"<!-- example: (\w+)\.py -->\n```python\n(.*?)```", text, re.DOTALL)
    assert example
    (folder / f"{example[1]}.py").write_text(example[2])
    assert f"--family {example[1]}.py:{example[1].upper()}\n" in text
    return f"{folder / example[1]}.py:{example[1].upper()}"


def make_qwen2_vl(folder: Path) -> Path:
    recipe = CASES["qwen2_5_vl"].recipe
    tokenizer = qwen_tokenizer()
    config = Qwen2VLConfig(
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 64,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        text_config=recipe["text"] | text_settings(tokenizer) | {"num_hidden_layers": 2},
        **special_ids(tokenizer),
    )
    torch.manual_seed(11)
    model = Qwen2VLForConditionalGeneration(config)
    processor = Qwen2VLImageProcessorPil(**recipe["image_processor"])
    return save(model, tokenizer, processor, recipe["eos_token_ids"], folder)


def make_paligemma(folder: Path) -> Path:
    tokenizer = byte_level_tokenizer()
    text = CASES["llava-clip-gqa"].recipe["text"]
    config = PaliGemmaConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        text_config={**text, "model_type": "gemma", "vocab_size": len(tokenizer)},
        projection_dim=text["hidden_size"],
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    torch.manual_seed(12)
    model = PaliGemmaForConditionalGeneration(config).eval()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_the_documented_family(tmp_path: Path) -> None:
    """The example exports, reproduces PyTorch, answers without its file, and is verified."""
    checkpoint, family = make_qwen2_vl(tmp_path / "checkpoint"), documented_family(tmp_path)
    with pytest.raises(FamilyError, match=r"'Qwen2VLFor.*nearest is Qwen2\.5-VL, and its vision"):
        export_bundle(str(checkpoint), tmp_path / "bundle")
    options = ExportOptions(family=family, layers=(0, 1))
    report = export_bundle(str(checkpoint), tmp_path / "bundle", options)
    assert all(row.passed for row in report.comparisons)
    photo = PHOTOS / "landscape.jpg"
    rows = verify_bundle(report.folder, str(checkpoint), VerifyOptions(image=photo, family=family))
    assert all(row.passed for row in rows)
    Path(family.rpartition(":")[0]).unlink()
    vlm = Carve.load(report.folder)
    assert vlm.manifest.family == "qwen2_vl"
    assert vlm.ask(photo, "What is this?", max_new_tokens=2).mask.any()


def test_a_bidirectional_prefix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "paligemma.py").write_text(PALIGEMMA)
    checkpoint = make_paligemma(tmp_path / "checkpoint")
    options = ExportOptions(family=f"{tmp_path / 'paligemma.py'}:PALIGEMMA")
    with pytest.raises(CheckpointError, match=r"tokens see later tokens .*no cache of the image"):
        export_bundle(str(checkpoint), tmp_path / "bundle", options)
    assert not (tmp_path / "bundle").exists()


BAD_DECLARATIONS = {
    "no file": (
        "absent.py:X",
        None,
        r"does not name a Python file and a variable\. Write --family",
    ),
    "no name": ("family.py", "X = 1", r"does not name a Python file and a variable"),
    "another name": ("family.py:Y", "X = 1", r"has no carve_models\.Family called 'Y'\. See docs"),
    "no family": ("family.py:X", "X = 1", r"has no carve_models\.Family called 'X'"),
    "another kind of image": (
        "family.py:X",
        "from dataclasses import replace\n"
        "from carve_models.families.family import NativeImages\n"
        "from carve_models.families.llava import LLAVA\n"
        "X = replace(LLAVA, images=NativeImages(max_tokens=9))",
        r"images of llava become patches, its vision encoder takes pictures\. See docs",
    ),
    "not Python": ("family.py:X", "X = ", r"family\.py cannot be run: SyntaxError"),
    "another architecture": (
        "family.py:QWEN2_5_VL",
        "from carve_models.families.qwen2_5_vl import QWEN2_5_VL",
        r"declares Qwen2_5_VLFor.*architecture is 'LlavaForConditionalGeneration'\. Add it",
    ),
}


@pytest.mark.parametrize("name", BAD_DECLARATIONS)
def test_declarations_that_cannot_be_used(
    name: str, checkpoint_of: CheckpointOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared, text, message = BAD_DECLARATIONS[name]
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("family.py").write_text(text)
    checkpoint = str(checkpoint_of("llava-clip-gqa"))
    with pytest.raises(FamilyError, match=message):
        export_bundle(checkpoint, "bundle", ExportOptions(family=declared))
    assert not Path("bundle").exists()


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "lacks modules": (
        {"architectures": ["CLIPModel"], "model_type": "clip"},
        r"'CLIPModel'; nearest is .*the model has no module 'model\.\w+'; .*\. Declare",
    ),
    "cannot be built": (
        {"architectures": ["LlavaOrchid"]},
        r"'LlavaOrchid'; nearest by name is LLaVA-1\.5, and transformers cannot build the model",
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_architecture_is_told_what_it_lacks(
    name: str, checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    changes, message = UNKNOWN[name]
    folder = Path(shutil.copytree(checkpoint_of("llava-clip-gqa"), tmp_path / "checkpoint"))
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CarveError, match=message) as caught:
        export_bundle(str(folder), tmp_path / "bundle")
    assert caught.type is FamilyError
