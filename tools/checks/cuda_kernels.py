"""Extract from ONNX Runtime's table of kernels which types its CUDA provider computes in.

``python -m tools.checks.cuda_kernels docs/OperatorKernels.md COMMIT`` writes
``tests/export/cuda_kernels.yaml`` again, for the operators that are in it and those named after.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from carve_models.manifest import OPSETS

TABLE = Path(__file__).parents[2] / "tests" / "export" / "cuda_kernels.yaml"
#: Types that decoders and vision encoders have numbers of.
TYPES = ("bfloat16", "bool", "float", "float16", "int32", "int64")
_SECTION = "## Operators implemented by "
_DOMAIN = re.compile(r"\|\*\*Operator Domain:\*\* \*(.*?)\*")
_PARAMETER = re.compile(r"\*(in|out)\* \w+(?:\.\.\.)?:\*\*(.+?)\*\*")
_CONSTRAINT = re.compile(r"\*\*(\w+)\*\* = (.*)")
_COLUMNS = 4
#: The domain of the standard operators, as the table calls it.
_STANDARD = "ai.onnx"
_CONTRIB = "com.microsoft"


def extract(text: str, wanted: set[str], opset: int) -> dict[str, Any]:
    """Return the kernels of the CUDA provider by operator.

    Args:
        text: ONNX Runtime's ``docs/OperatorKernels.md``.
        wanted: names of operators, standard or contributed.
        opset: the standard operator set.

    Returns:
        for each operator ``signatures``, alternatives of the types of its inputs and outputs, and
        ``types``, which of :data:`TYPES` each variable in them stands for.
    """
    kernels: dict[str, Any] = {}
    for name, domain, parameters, versions, types in _rows(text):
        version = opset if domain == _STANDARD else 1
        if name in wanted and domain in (_STANDARD, _CONTRIB) and _covers(versions, version):
            # A contributed operator may have a standard one's name: rotary embedding has.
            kernels[name] = {
                "signatures": [
                    _signature(entry) for entry in parameters.split("<br><br>or<br><br>")
                ],
                "types": dict(_constraint(entry) for entry in types.split("<br/> ")),
            }
    return kernels


def _rows(text: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield name, domain, parameters, versions and types of each of CUDA's rows."""
    section = text.split(f"{_SECTION}CUDAExecutionProvider", 1)[1].split(_SECTION, 1)[0]
    name = domain = parameters = ""
    for line in section.splitlines():
        heading = _DOMAIN.match(line)
        if heading:
            domain = heading[1]
            continue
        cells = line.split("|")[1:-1]
        if len(cells) < _COLUMNS or not domain:
            continue
        if cells[0]:  # rows of other versions leave it out
            name, parameters = cells[:2]
        yield name, domain, parameters, *cells[2:]  # type: ignore[misc]


def _covers(versions: str, version: int) -> bool:
    """Return whether versions, written ``13+``, ``13`` or ``[13, 18]``, have one among them."""
    bounds = [int(number) for number in re.findall(r"\d+", versions)]
    return bounds[0] <= version and (versions.endswith("+") or version <= bounds[-1])


def _signature(parameters: str) -> dict[str, list[str]]:
    entries = _PARAMETER.findall(parameters)
    return {side: [_plain(kind) for way, kind in entries if way == side] for side in ("in", "out")}


def _constraint(entry: str) -> tuple[str, list[str]]:
    variable, kinds = _CONSTRAINT.findall(entry)[0]
    plain = {_plain(kind) for kind in kinds.split(", ")}
    return variable, [kind for kind in TYPES if kind in plain]


def _plain(kind: str) -> str:
    return kind.removeprefix("tensor(").removesuffix(")")


def main() -> None:
    """Write the table of kernels again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="ONNX Runtime's docs/OperatorKernels.md")
    parser.add_argument("commit", help="the commit that it is of")
    parser.add_argument("operators", nargs="*", help="more operators to extract")
    arguments = parser.parse_args()
    wanted = set(arguments.operators)
    if TABLE.exists():
        wanted |= yaml.safe_load(TABLE.read_text())["kernels"].keys()
    table = {
        "origin": f"microsoft/onnxruntime, docs/OperatorKernels.md, {arguments.commit}",
        "opset": OPSETS[0],
        "kernels": extract(arguments.source.read_text(), wanted, OPSETS[0]),
    }
    TABLE.write_text(
        "# Written by python -m tools.checks.cuda_kernels.\n"
        + yaml.safe_dump(table, sort_keys=True, default_flow_style=None, width=110)
    )


if __name__ == "__main__":
    main()
