"""Read the rule of images that keep their aspect ratio."""

from __future__ import annotations

from carve_export.checkpoint.image_rules.source import RuleSource, given
from carve_models.errors import CheckpointError
from carve_models.families.family import NativeImages
from carve_models.image_rules import NativeImage


def read_native(images: NativeImages, source: RuleSource) -> NativeImage:
    """Return the rule of images that become packed patches.

    The family limits the tokens of an image where the export is not told a limit.

    Raises:
        CheckpointError: the processor resizes otherwise, or its patches are not the encoder's.
    """
    processor, vision = source.processor, source.vision
    if not processor.get("do_resize"):
        raise CheckpointError("preprocessor_config.json does not resize", "set do_resize to true")
    size = given(processor["size"])
    if set(size) != {"shortest_edge", "longest_edge"}:
        raise CheckpointError(
            f"preprocessor_config.json resizes to {size}",
            "give the fewest and the most pixels as shortest_edge and longest_edge",
        )
    for name in ("patch_size", "temporal_patch_size"):
        if processor[name] != getattr(vision, name):
            raise CheckpointError(
                f"{name} is {processor[name]} in preprocessor_config.json and "
                f"{getattr(vision, name)} in config.json",
                "correct preprocessor_config.json",
            )
    token = vision.patch_size * vision.spatial_merge_size
    window = getattr(vision, images.window_size) if images.window_size else None
    table = getattr(vision, images.position_table) if images.position_table else None
    rule = NativeImage(
        **source.shared,
        min_pixels=size["shortest_edge"],
        max_pixels=size["longest_edge"],
        patch_size=vision.patch_size,
        merge_size=vision.spatial_merge_size,
        temporal_patch_size=vision.temporal_patch_size,
        window_size=window // token if window else None,
        position_side=int(table**0.5) if table else None,
    )
    return rule.within(images.max_tokens * token**2) if source.max_pixels is None else rule
