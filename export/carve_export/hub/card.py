"""The model card of a bundle, written from its manifest."""

from __future__ import annotations

from collections.abc import Iterable
from string import Template
from types import ModuleType

from carve_models.manifest import Manifest, Quality
from carve_runtime.hub import HubName

LIBRARY = "carve-vlm"
_TASK = "image-text-to-text"

_TEXT = Template("""
# $title

$source as ONNX graphs whose decoder returns its attention to the image as one more output.
$library runs them without PyTorch and answers a question twice: plainly, and through CARVE
([arXiv 2509.06461](https://arxiv.org/abs/2509.06461)), which keeps the regions of the image that
the question singles out, magnifies them and asks again.

| | |
| --- | --- |
$facts

## Quality

$quality

## Python

```sh
pip install "$library[cpu,hub]"
carve-run ask $name photo.jpg "What does the sign say?" --save-dir out
```

```python
from carve_runtime import Carve

vlm = Carve.load("$name")
result = vlm.ask("photo.jpg", "What does the sign say?")
print(result.answer, result.plain_answer, result.bbox)
```

## C and JavaScript

They read a folder:

```sh
$download
```

```js
import { loadFolder } from "$library/node";

const vlm = await loadFolder("$folder");
const result = await vlm.ask("photo.jpg", "What does the sign say?");
console.log(result.answer, result.plainAnswer, result.bbox);
```

```c
carve_image image = {pixels, width, height, 0}; /* 8-bit RGB that you have read */
carve_model *model;
carve_view *view;
carve_result *result;
carve_reading reading = {sizeof reading};

carve_status status = carve_open("$folder", NULL, &model);
if (status.code == CARVE_OK) status = carve_look(model, &image, &view);
if (status.code == CARVE_OK) status = carve_ask(view, "What does the sign say?", NULL, &result);
if (status.code == CARVE_OK) status = carve_read(result, &reading);
puts(status.code == CARVE_OK ? reading.answer : status.message);
```
""")


def model_card(hub: ModuleType, manifest: Manifest, name: HubName, licence: dict[str, str]) -> str:
    """Return a model card: what the hub reads at its head, and what people read.

    Args:
        hub: huggingface_hub.
        manifest: the bundle's.
        name: where the bundle will be.
        licence: see :func:`carve_export.hub.licence.stated_licence`.
    """
    base = HubName.parse(manifest.source)
    head = hub.ModelCardData(
        library_name=LIBRARY,
        pipeline_tag=_TASK,
        tags=["carve", "onnx", manifest.family],
        base_model=None if base is None else base.repository,
        base_model_relation="quantized" if base is not None and manifest.precisions else None,
        **licence,
    )
    include = f' --include "{name.folder}/*"' if name.folder else ""
    text = _TEXT.substitute(
        title=str(name).partition("/")[2],
        library=LIBRARY,
        source=manifest.source,
        facts=_table(_facts(manifest, licence)),
        quality=_spell_quality(manifest.quality),
        name=name,
        download=f"hf download {name.repository}{include} --local-dir bundle",
        folder=f"bundle/{name.folder}".rstrip("/"),
    )
    return f"---\n{head.to_yaml().strip()}\n---\n{text}"


def _facts(manifest: Manifest, licence: dict[str, str]) -> Iterable[tuple[str, str]]:
    image, decoder = manifest.image, manifest.decoder
    size = sum(entry.size for entry in manifest.files.values()) / 1e6
    return {
        "family": manifest.family,
        "source": manifest.source,
        "licence": ", ".join(licence.values()),
        "precision": _spell_precision(manifest),
        "profile": f"{manifest.profile}, ONNX operator set {manifest.opset}",
        "image": f"{image.describe()}, {image.resample}",
        "attention": f"{decoder.tap}; {decoder.layers} layers in all",
        "size": f"{size:.1f} MB",
        "made with": ", ".join(f"{name} {v}" for name, v in manifest.versions.items()),
    }.items()


def _spell_precision(manifest: Manifest) -> str:
    lowered = ", ".join(f"{part} {precision}" for part, precision in manifest.precisions.items())
    stored = (
        "" if manifest.weights == manifest.dtype else f", matrices stored as {manifest.weights}"
    )
    computed = manifest.dtype + (stored if manifest.dtype == "float32" else "")
    return f"{lowered}; otherwise {computed}" if lowered else computed


def _spell_quality(quality: Quality | None) -> str:
    """Return what lower precision costs, as far as the export measured it."""
    if quality is None:
        return "The export did not measure the quality of the answers."
    facts = {
        "questions": str(quality.questions),
        "answers through CARVE as in the source": f"{quality.answer_agreement:.1%}",
        "plain answers as in the source": f"{quality.plain_agreement:.1%}",
        "overlap of the masks, mean and least": (
            f"{quality.mask_overlap:.3f}, {quality.least_mask_overlap:.3f}"
        ),
        "size of the graphs, relative to the source": f"{quality.size:.2f}",
    }
    shares = {
        "right answers through CARVE": (quality.right, quality.usual_right),
        "strongest token on the object asked for": (quality.pointing, quality.usual_pointing),
    }
    facts |= {
        what: f"{share:.1%} (source: {usual:.1%})"
        for what, (share, usual) in shares.items()
        if share is not None and usual is not None
    }
    intro = "Compared with the bundle in full precision that it was made from:"
    return f"{intro}\n\n| | |\n| --- | ---: |\n{_table(facts.items())}"


def _table(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in facts)
