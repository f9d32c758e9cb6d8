"""libcarve's decoder: half precision, buffers that stay where they are, providers as in Python."""

from __future__ import annotations

from pathlib import Path

from carve_runtime import Carve, load_image
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.backends.providers import PROVIDERS
from tests.consumers import libcarve
from tests.consumers.building import QUESTION, harness, run
from tests.consumers.cases import Pair, answered
from tests.consumers.libcarve import Library
from tests.consumers.test_c import compare
from tests.support import POCKET

IMAGE = POCKET / "example.jpg"
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def test_half_precision(library: Library, half_pairs: list[Pair]) -> None:
    for pair in half_pairs:
        model = library.open(pair.bundle)
        view = library.look(model, load_image(pair.image))
        compare(library, view, pair)
        library.c.carve_view_free(view)
        library.c.carve_model_free(model)


def test_questions_that_do_not_fit_into_the_buffers(library: Library, pocket: Carve) -> None:
    """Larger buffers take their place, and serve what comes next."""
    model = library.open(POCKET)
    view = library.look(model, load_image(IMAGE))
    for question in (QUESTION, "What " * 300 + "word is it?", QUESTION):
        compare(library, view, answered(pocket, POCKET, IMAGE, question))
    library.c.carve_view_free(view)
    library.c.carve_model_free(model)


def test_keys_and_values_stay_where_they_are(
    onnxruntime: Path, pocket_portable: Path, tmp_path: Path
) -> None:
    """Behind a prefix, behind one of another image; a pass that does not fit moves them."""
    program = harness("caches", onnxruntime, tmp_path, *SANITIZED)
    lines = [line.split() for line in run(program, POCKET).splitlines()]
    assert [where for _, where in lines] == ["moved", "stayed", "moved", "stayed"]
    first, same, larger, again = (int(capacity) for capacity, _ in lines)
    assert 0 < first == same < larger == again
    concatenated = run(program, pocket_portable).splitlines()
    assert concatenated[:3] == ["0 moved", "0 stayed", "0 stayed"]


def test_providers_are_told_what_python_tells_them(onnxruntime: Path, tmp_path: Path) -> None:
    program = harness("providers", onnxruntime, tmp_path)
    for name, provider in PROVIDERS.items():
        numbered = provider.device is not None and provider.memory is not None
        settings = BackendSettings(provider=name, device="1" if numbered else None)
        options = provider.options(settings)
        printed = run(program, provider.name, int(numbered)).splitlines()
        assert printed == [f"{key}={value}" for key, value in options.items()]
        if not numbered:
            assert run(program, provider.name, 1) == f"refused {libcarve.SETTINGS}\n"
    assert run(program, "OtherExecutionProvider", 2) == "device_id=2\n"
    assert run(program, "OtherExecutionProvider", 0) == ""
