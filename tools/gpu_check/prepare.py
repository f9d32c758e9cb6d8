"""Write what a machine with a GPU needs: graphs without weights, and pocket in half precision.

python -m tools.gpu_check.prepare build/gpu-check
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from carve_export import ExportOptions, export_bundle
from carve_models.graph_spec import Dtype
from carve_runtime.bundle import default_bundle, open_bundle
from tools.gpu_check.narrow import narrow
from tools.gpu_check.weightless import export_weightless
from tools.research.real_size.models import MODELS
from tools.shared.models.random_checkpoint import write_configuration

#: Types in which pocket is asked, besides that of the bundle that ships.
POCKET_TYPES: tuple[Dtype, ...] = ("float16", "bfloat16")
#: What the models compute in.
_DTYPE: Dtype = "float16"


def pocket_folder(prepared: Path, dtype: str) -> Path:
    """Return where pocket's bundle of a type is."""
    return prepared / f"pocket-{dtype}"


def prepare_pocket(folder: Path) -> None:
    """Write pocket's bundles in half precision into a folder; those that are there stay."""
    for dtype in POCKET_TYPES:
        out = pocket_folder(folder, dtype)
        if not out.exists():
            _export_pocket(out, dtype)


def prepare_models(
    folder: Path, names: Sequence[str], depth: int | None = None, *, is_narrow: bool = False
) -> None:
    """Write models without weights into a folder; those that are there stay.

    Args:
        folder: where to.
        names: in :data:`tools.research.real_size.models.MODELS`.
        depth: layers of text model and vision encoder each; the configuration's if ``None``.
        is_narrow: few numbers in each layer.
    """
    for name in names:
        if (folder / name).exists():
            continue
        model = narrow(MODELS[name]) if is_narrow else MODELS[name]
        with tempfile.TemporaryDirectory() as source:
            write_configuration(model, Path(source), depth)
            export_weightless(Path(source), folder / name, _DTYPE)


def _export_pocket(out: Path, dtype: Dtype) -> None:
    pocket = open_bundle(default_bundle())
    settings = msgspec.json.decode((pocket.folder / "settings.json").read_bytes())
    layers = pocket.manifest.decoder.tapped_layers
    options = ExportOptions(dtype=dtype, layers=layers, unchecked=True, **settings)
    export_bundle(str(pocket.folder / "checkpoint"), out, options)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--model", "models", type=click.Choice(list(MODELS)), multiple=True)
@click.option("--depth", type=click.IntRange(1), help="Layers of text model and tower each.")
@click.option("--narrow", "is_narrow", is_flag=True, help="Few numbers in each layer.")
def main(folder: Path, models: tuple[str, ...], depth: int | None, is_narrow: bool) -> None:
    """Write bundles without weights into FOLDER, of all models unless some are chosen."""
    prepare_pocket(folder)
    prepare_models(folder, models or tuple(MODELS), depth, is_narrow=is_narrow)


if __name__ == "__main__":
    main()
