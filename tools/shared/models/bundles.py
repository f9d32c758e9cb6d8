"""Bundles in which every image has the same grid of tokens: their identity, and their maps."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from carve_models.manifest import Manifest
from carve_models.settings import Settings
from carve_runtime import fuse_contrast


def fingerprint(manifest: Manifest) -> str:
    """Return what names a bundle's answers: its weights, prompts and image rule, no defaults."""
    parts = manifest.files, manifest.prompts, manifest.image, manifest.decoder
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def fixed_grid(manifest: Manifest) -> tuple[int, int]:
    """Return the (rows, columns) of image tokens of a bundle in which every image has the same."""
    grid = manifest.image.fixed_grid
    assert grid is not None, "only bundles with images of one size"
    return grid


def map_of_tokens(
    question: NDArray[Any], general: NDArray[Any], settings: Settings, grid: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the fused contrast on the grid itself, (rows, columns).

    Args:
        question: (T_Q, L, N) attention of the layers that are read.
        general: (T_G, L, N), likewise.
        settings: how to contrast and fuse.
        grid: (rows, columns) with N tokens.
    """
    return fuse_contrast(
        question,
        general,
        grid=grid,
        image_size=(grid[1], grid[0]),
        layers=range(question.shape[1]),
        steps=settings.steps,
        contrast=settings.contrast,
        regularizer=settings.regularizer,
    )
