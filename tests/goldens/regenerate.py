"""Recompute the results in contrast.npz with the authors' released code and compare or rewrite.

Usage: python tests/goldens/regenerate.py CLONE [--write]
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

STORE = Path(__file__).with_name("contrast.npz")


def results(clone: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Run the released functions on one case's inputs."""
    sys.path.insert(0, str(clone / "carve"))  # the package's __init__ would import torch
    attention, masking = importlib.import_module("attention"), importlib.import_module("masking")
    width, height = (int(side) for side in case["size"])
    saliency = attention.fuse_contrastive_attention(
        case["q"],
        case["g"],
        (width, height),
        layers=case["layers"].tolist(),
        output_shape=tuple(case["grid"].tolist()),
        step_mode=str(case["mode"]),
    )
    refined = masking.att_sum_crop_pipeline(
        saliency,
        Image.new("RGB", (width, height), "white"),
        top_percent=float(case["top"]),
        min_keep_regions=int(case["keep"]),
        strategy=str(case["strategy"]),
    )
    mask = refined["mask_map"].astype(bool)
    return {
        "S": saliency.astype(np.float32),
        "mask": np.packbits(mask),
        "mask_shape": np.array(mask.shape),
        "bbox": np.array(refined["bbox"]),
        "crop_size": np.array(refined["crop_masked_image"].size),
    }


@click.command()
@click.argument("clone", type=click.Path(exists=True, path_type=Path))
@click.option("--write", is_flag=True, help="Replace the stored results.")
def main(clone: Path, write: bool) -> None:
    """Recompute every case with the code in CLONE."""
    stored = dict(np.load(STORE, allow_pickle=False))
    for index in sorted({key.split("/")[0] for key in stored}, key=int):
        prefix = f"{index}/"
        case = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
        for name, value in results(clone, case).items():
            same = np.array_equal(stored[f"{index}/{name}"], value)
            click.echo(f"case {index} {name:<10} {'same' if same else 'DIFFERS'}")
            stored[f"{index}/{name}"] = value
    if write:
        np.savez_compressed(STORE, **stored)


if __name__ == "__main__":
    main()
