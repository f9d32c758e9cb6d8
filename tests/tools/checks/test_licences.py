"""The licences of dependencies: what is installed here, and how they are read."""

from __future__ import annotations

from typing import Any

import pytest

from tools.checks.licences import closure, licences, packages, refused


def test_what_is_installed_here_is_allowed() -> None:
    found, _ = packages()
    assert {package.name: package.refused for package in found if package.refused} == {}
    brought = {package.name: package.extras for package in found}
    assert "(all)" in brought["tokenizers"]
    assert "(all)" in brought["huggingface_hub"]  # of tokenizers
    assert "(all)" not in brought["torch"]


def test_the_extras_of_a_requirement_are_followed() -> None:
    assert "sympy" in closure(["onnxruntime[symbolic]"])
    assert "sympy" not in closure(["onnxruntime"])
    assert closure(["onnxruntime; python_version < '3'"]) == set()


@pytest.mark.parametrize(
    ("fields", "classifiers", "expected"),
    [
        ({"License-Expression": "Apache-2.0 OR BSD-2-Clause"}, [], ("Apache-2.0", "BSD-2-Clause")),
        ({"License": "MIT License"}, [], ("MIT",)),
        ({"License": "UNKNOWN"}, ["License :: OSI Approved :: MIT License"], ("MIT",)),
        ({"License": "A text.\nOf lines."}, ["License :: OSI Approved :: BSD License"],
         ("BSD-3-Clause",)),
        ({"License-Expression": " AND ".join(["MIT", "Zlib", "0BSD"] * 9)}, ["License :: OSI"],
         ("MIT", "Zlib", "0BSD")),
        ({"License": "LGPL-3.0-or-later"}, [], ("LGPL-3.0-or-later",)),
        ({}, [], ("none named",)),
    ],
)  # fmt: skip
def test_names(fields: Any, classifiers: list[str], expected: tuple[str, ...]) -> None:
    assert licences(fields, classifiers) == expected


@pytest.mark.parametrize(
    ("names", "extras", "expected"),
    [
        (["MIT", "Apache-2.0"], ["(all)"], ()),
        (["MIT", "LGPL-3.0-or-later"], ["dev"], ("LGPL-3.0-or-later",)),
        (["none named"], ["dev"], ("none named",)),
        (["LicenseRef-NVIDIA"], ["engines", "gpu"], ()),
        (["LicenseRef-NVIDIA"], ["engines", "(all)"], ("LicenseRef-NVIDIA",)),
    ],
)
def test_what_is_refused(names: list[str], extras: list[str], expected: tuple[str, ...]) -> None:
    assert refused(names, extras) == expected
