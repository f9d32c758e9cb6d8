"""What Hugging Face's own processors make of the clips of ``tests/runtime/video/cases.py``.

They need torchvision and num2words, which nothing else here does; in an environment of its own:

    pip install torchvision num2words
    python -m tests.runtime.video.goldens.regenerate

It writes ``processed.json``, and ``pixels.npz`` with the frames as they are before they are
normalised, in whole levels.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    InternVLProcessor,
    Qwen2_5_VLProcessor,
    Qwen3VLProcessor,
    SmolVLMProcessor,
)
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.internvl.video_processing_internvl import InternVLVideoProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor
from transformers.video_utils import VideoMetadata

from tests.checkpoints import MAKERS
from tests.runtime.video.cases import CLIPS, FAMILIES, QUESTION, Clip
from tests.support import CASES

HERE = Path(__file__).parent
#: Tokens of a frame in the cases of tests/cases.
TOKENS = 4
LENGTHS = 1, 2, 3, 5, 8, 9, 31, 49, 100, 297, 1201
RATES = 0.5, 3.0, 23.976, 30.0


def make(name: str, folder: Path) -> Any:
    """Return the whole processor of a case."""
    case = CASES[name]
    MAKERS[case.family](case.recipe, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    image, video = case.recipe["image_processor"], case.recipe["video_processor"]
    parts: dict[str, Callable[[], Any]] = {
        "qwen2_5_vl": lambda: Qwen2_5_VLProcessor(
            Qwen2VLImageProcessorPil(**image), tokenizer, Qwen2VLVideoProcessor(**video)
        ),
        "qwen3_vl": lambda: Qwen3VLProcessor(
            Qwen2VLImageProcessorPil(**image), tokenizer, Qwen3VLVideoProcessor(**video)
        ),
        "idefics3": lambda: SmolVLMProcessor(
            SmolVLMImageProcessorPil(**image),
            tokenizer,
            SmolVLMVideoProcessor(**video),
            image_seq_len=TOKENS,
        ),
        "internvl": lambda: InternVLProcessor(
            GotOcr2ImageProcessorPil(**image),
            named(tokenizer),
            InternVLVideoProcessor(**video),
            image_seq_length=TOKENS,
        ),
    }
    processor = parts[case.family]()
    processor.chat_template = tokenizer.chat_template
    return processor


def named(tokenizer: Any) -> Any:
    """Give InternVL's processor the names that it asks its tokenizer for."""
    tokenizer.context_image_token, tokenizer.video_token = "<IMG_CONTEXT>", "<video>"
    for name in ("context_image", "start_image", "end_image"):
        token = getattr(tokenizer, f"{name}_token")
        setattr(tokenizer, f"{name}_token_id", tokenizer.convert_tokens_to_ids(token))
    return tokenizer


def process(processor: Any, clip: Clip) -> dict[str, Any]:
    """Return what a processor makes of a clip and the question."""
    frames = np.stack(list(clip.frames()))
    metadata = VideoMetadata(
        total_num_frames=len(frames),
        fps=clip.fps,
        duration=len(frames) / clip.fps,
        frames_indices=list(range(len(frames))),
    )
    content = [{"type": "video"}, {"type": "text", "text": QUESTION}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    chosen = {}
    if isinstance(processor, InternVLProcessor) and clip.sample:
        chosen = {"num_frames": min(processor.video_processor.num_frames, len(frames))}
    seen = list(range(len(frames)))
    usual = processor.video_processor.sample_frames

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen[:] = usual(*args, **kwargs).tolist()
        return np.asarray(seen)

    processor.video_processor.sample_frames = watched
    made = processor(
        text=[text],
        videos=[frames],
        video_metadata=[metadata],
        do_sample_frames=clip.sample,
        return_tensors="pt",
        **chosen,
    )
    processor.video_processor.sample_frames = usual
    return {**made, "frames": seen}


def sampling(processor: Any) -> dict[str, Any]:
    """Return the frames that are seen of clips of many lengths and rates."""
    sampler, chosen = processor.video_processor, {}
    for count, fps in ((count, fps) for count in LENGTHS for fps in RATES):
        metadata = VideoMetadata(total_num_frames=count, fps=fps, duration=count / fps)
        given = {}
        if isinstance(processor, InternVLProcessor):
            given = {"num_frames": min(sampler.num_frames, count)}
        try:
            indices = sampler.sample_frames(metadata, **given).tolist()
        except (ValueError, ZeroDivisionError):
            indices = None
        chosen[f"{count} {fps:g}"] = indices
    return chosen


def levels(pixels: Any, processor: Any) -> Any:
    """Return normalised pixels as levels: of frames (T, 3, h, w), of patches (n, 3, rest)."""
    pixels = pixels.numpy().astype(np.float64)
    pixels = (
        pixels.reshape(-1, *pixels.shape[-3:])
        if pixels.ndim > 2
        else (pixels.reshape(len(pixels), 3, -1))
    )
    shape = (1, 3, *[1] * (pixels.ndim - 2))
    mean = np.reshape(processor.video_processor.image_mean, shape)
    std = np.reshape(processor.video_processor.image_std, shape)
    return np.rint((pixels * std + mean) * 255).astype(np.uint8)


def main() -> None:
    documents: dict[str, Any] = {}
    pixels = {}
    for name in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            processor = make(name, Path(folder))
        documents[name] = sampling(processor)
        for clip in CLIPS:
            key = f"{name}/{clip.name}"
            try:
                made = process(processor, clip)
            except (ValueError, ZeroDivisionError) as error:
                documents[key] = {"refused": str(error)}
                print(key, "REFUSED", error)
                continue
            values = made.get("pixel_values_videos", made.get("pixel_values"))
            pixels[key] = levels(values, processor)
            documents[key] = {
                "frames": made["frames"],
                "ids": made["input_ids"][0].tolist(),
            }
            for field in ("video_grid_thw", "second_per_grid_ts"):
                if field in made:
                    documents[key][field] = torch.as_tensor(made[field]).tolist()
            print(key, documents[key]["frames"], pixels[key].shape)
    (HERE / "processed.json").write_text(json.dumps(documents) + "\n")
    np.savez_compressed(HERE / "pixels.npz", **pixels)


if __name__ == "__main__":
    main()
