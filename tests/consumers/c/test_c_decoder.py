"""libcarve's passes: half precision, buffers that stay, what questions share, text, cancelling."""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable
from pathlib import Path
from platform import machine
from threading import Thread, Timer
from time import monotonic
from typing import Any

import numpy as np
import pytest

from carve_runtime import Carve, load_image
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.backends.providers import PROVIDERS
from tests.consumers.building import QUESTION, SANITIZERS, SOURCE, harness, refused, run
from tests.consumers.c import libcarve
from tests.consumers.c.libcarve import AskOptions, Library, Reading
from tests.consumers.c.test_c import c_options, compare
from tests.consumers.cases import Changes, Pair, answered
from tests.support import POCKET

IMAGE = POCKET / "example.jpg"
CONTEXT = 42  # what a listener is given back

#: Asked of one view, in this order.
QUESTIONS: list[tuple[str, Changes]] = [
    (QUESTION, {"early_exit": True}),
    ("Is there a red star?", {"early_exit": True, "final_prompt": "refined"}),
    (QUESTION, {"steps": "all"}),
    ("Is there a red star?", {"steps": "all"}),
    (QUESTION, {"early_exit": True}),
]


def test_half_precision_and_heads(
    library: Library,
    half_pairs: list[Pair],
    heads_pairs: list[Pair],
    adopted_pairs: list[Pair],
) -> None:
    """And graphs that others exported."""
    for pair in [*half_pairs, *heads_pairs, *adopted_pairs]:
        model = library.open(pair.bundle)
        view = library.look(model, load_image(pair.image))
        compare(library, view, pair, c_options(library, model, pair.changes))
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


def test_questions_share_what_the_image_alone_decides(library: Library) -> None:
    """Each does the same work as in Python: the upper half follows when it is first needed."""
    vlm = Carve.load(POCKET)
    model = library.open(POCKET)
    view = library.look(model, load_image(IMAGE))
    for question, changes in QUESTIONS:
        pair = answered(vlm, POCKET, IMAGE, question, changes)
        compare(library, view, pair, c_options(library, model, changes), fresh=True)
    library.c.carve_view_free(view)
    library.c.carve_model_free(model)


def heard(library: Library, model: c.c_void_p, answer: int | Callable[[], int], into: Any) -> Any:
    """Return options whose listener keeps what it hears and returns an answer."""

    def listen(context: int | None, stage: int, text: bytes) -> int:
        assert context == CONTEXT
        into.append((libcarve.STAGES[stage], text.decode()))
        return answer() if callable(answer) else answer

    options = c_options(library, model, {"steps": "all"})
    options.on_token, options.on_token_context = libcarve.TokenFunction(listen), CONTEXT
    return options


def test_text_while_it_is_generated(library: Library, model: c.c_void_p, pocket: Carve) -> None:
    """The same pieces as in Python, of all three passes."""
    pieces: list[tuple[str, str]] = []
    expected: list[tuple[str, str]] = []
    view = library.look(model, load_image(IMAGE))
    library.c.carve_result_free(library.ask(view, QUESTION, heard(library, model, 0, pieces)))
    pocket.ask(
        IMAGE,
        QUESTION,
        steps="all",
        on_token=lambda token: expected.append((token.stage, token.text)),
    )
    assert {stage for stage, _ in expected} == set(libcarve.STAGES)
    assert pieces == expected
    plain: list[tuple[str, str]] = []
    options = libcarve.PlainOptions(c.sizeof(libcarve.PlainOptions))
    listening = heard(library, model, 0, plain)
    options.on_token, options.on_token_context = listening.on_token, CONTEXT
    result = library.create("plain_with", view, QUESTION.encode(), c.byref(options))
    assert "".join(text for _, text in plain) == library.read(result).answer.decode()
    library.c.carve_result_free(result)
    library.c.carve_view_free(view)


def test_a_listener_ends_the_answer(
    library: Library, model: c.c_void_p, view: c.c_void_p, pocket: Carve
) -> None:
    pieces: list[tuple[str, str]] = []
    with refused(libcarve.CANCELLED, "on_token ended the answer"):
        library.ask(view, QUESTION, heard(library, model, 1, pieces))
    assert len(pieces) == 1
    compare(library, view, answered(pocket, POCKET, IMAGE, QUESTION))


def test_another_thread_cancels(library: Library, pocket: Carve) -> None:
    """What runs ends, what follows is refused until it is allowed, and the view is as it was."""
    model = library.open(POCKET)
    view = library.look(model, load_image(IMAGE))
    pieces: list[tuple[str, str]] = []

    def cancel() -> int:
        other = Thread(target=library.call, args=("cancel", model, 1))
        other.start()
        other.join()
        return 0

    for _ in range(2):
        with refused(libcarve.CANCELLED, "The call was cancelled"):
            library.ask(view, QUESTION, heard(library, model, cancel, pieces))
        assert len(pieces) == 1
    with refused(libcarve.CANCELLED, "The call was cancelled"):
        library.look(model, load_image(IMAGE))
    library.call("cancel", model, 0)
    compare(library, view, answered(pocket, POCKET, IMAGE, QUESTION))
    library.c.carve_view_free(view)
    library.c.carve_model_free(model)


def test_another_thread_cancels_a_graph(library: Library, model: c.c_void_p) -> None:
    """In the middle of preprocessing a large image, which no listener could end."""
    picture = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8)
    began = monotonic()
    library.c.carve_view_free(library.look(model, picture))
    other = Timer((monotonic() - began) / 4, library.call, args=("cancel", model, 1))
    other.start()
    with refused(libcarve.CANCELLED, "The call was cancelled"):
        library.look(model, picture)
    other.join()
    library.call("cancel", model, 0)
    library.c.carve_view_free(library.look(model, picture))


def test_threads(onnxruntime: Path, tmp_path: Path) -> None:
    """Calls are answered or cancelled, in whatever order others forbid and allow them.

    ThreadSanitizer watches libcarve's accesses; it cannot judge ONNX Runtime's.
    """
    program = harness("threads", onnxruntime, tmp_path, "-fsanitize=thread")
    assert run(program, POCKET, 20) == "answered\n"


@pytest.mark.parametrize("flags", [(), ("-m32",), ("-m32", "-malign-double")], ids=str)
@pytest.mark.skipif(machine() != "x86_64", reason="the compiler's options are those of x86")
def test_sizes_of_the_first_version(flags: tuple[str, ...]) -> None:
    """On 64 bits, on 32, and on 32 where numbers of 8 bytes are aligned to 8, as on ARM."""
    source = Path(__file__).parent / "sizes.c"
    folders = ("-I", SOURCE / "include", "-I", SOURCE / "src")
    run("gcc", "-std=c99", "-ffreestanding", "-fsyntax-only", *flags, *folders, source)


def test_programs_of_the_first_version(
    library: Library, model: c.c_void_p, view: c.c_void_p, pocket: Carve
) -> None:
    """Their structures are shorter; what is behind them is not touched."""
    expected = pocket.ask(IMAGE, QUESTION, max_regions=2)
    options = AskOptions(libcarve.FIRST_ASK_OPTIONS, scout_pixels=7)
    library.call("defaults", model, c.byref(options))
    options.max_regions = 2
    result = library.ask(view, QUESTION, options)
    reading = Reading(libcarve.FIRST_READING, plain_probability=7)
    library.call("read", result, c.byref(reading))
    assert tuple(reading.ids[: reading.id_count]) == expected.token_ids
    assert tuple(reading.box) == expected.bbox
    assert (options.scout_pixels, reading.plain_probability) == (7, 7)
    assert (options.struct_size, reading.struct_size) == (
        libcarve.FIRST_ASK_OPTIONS,
        libcarve.FIRST_READING,
    )
    library.c.carve_result_free(result)


def test_keys_and_values_stay_where_they_are(
    onnxruntime: Path, pocket_portable: Path, tmp_path: Path
) -> None:
    """Behind a prefix, behind one of another image; a pass that does not fit moves them."""
    program = harness("caches", onnxruntime, tmp_path, *SANITIZERS)
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
