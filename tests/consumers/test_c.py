"""libcarve answers as the Python runtime does, and refuses what it cannot use."""

from __future__ import annotations

import ctypes as c
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carve_export.questions import write_questions
from carve_runtime import Carve, load_image
from carve_runtime.bundle import sha256
from tests.consumers import libcarve
from tests.consumers.conftest import Pair, random_texts
from tests.consumers.libcarve import LibcarveError, Library, array
from tests.support import POCKET, ROOT

SOURCE = ROOT / "runtime" / "c"
HERE = Path(__file__).parent
QUESTION = "What word is on the purple square?"
IOU = 0.99
MUTATIONS = 10_000
VALGRIND_MUTATIONS = 100

AUTOMATIC = {"auto": libcarve.AUTO}
ENUMS = {
    "steps": ("first", "all", "last"),
    "strategy": ("attention_sum", "size", "remove_small"),
    "rule": ("released", "paper"),
    "geometry": ("input", "released"),
    "final_prompt": ("pair", "refined"),
    "contrast": ("on", "off", "auto"),
}


def run(*command: object, **options: Any) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def onnxruntime() -> Path:
    """Headers and library; kept between runs, for the headers come over the network."""
    folder = ROOT / "build" / "onnxruntime"
    run(SOURCE / "get_onnxruntime.sh", folder, sys.executable)
    return folder


@pytest.fixture(scope="module")
def installed(onnxruntime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library and the examples, built without a warning and installed."""
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("prefix")
    run(
        *("cmake", "-S", SOURCE, "-B", build, f"-DONNXRUNTIME_ROOT={onnxruntime}"),
        *(f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DCMAKE_INSTALL_LIBDIR=lib"),
        *("-DCMAKE_C_FLAGS=-Werror", f"-DCMAKE_INSTALL_RPATH={onnxruntime / 'lib'}"),
    )
    run("cmake", "--build", build)
    run("cmake", "--install", build)
    for example in ("answer", "frames"):
        shutil.copy(build / f"carve_{example}", prefix)
    return prefix


@pytest.fixture(scope="module")
def library(installed: Path) -> Library:
    return Library(installed / "lib" / "libcarve.so.0")


@pytest.fixture(scope="module")
def model(library: Library) -> Iterator[c.c_void_p]:
    model = library.open(POCKET, threads=1)
    yield model
    library.c.carve_model_free(model)


@pytest.fixture(scope="module")
def view(library: Library, model: c.c_void_p) -> Iterator[c.c_void_p]:
    view = library.look(model, load_image(POCKET / "example.jpg"))
    yield view
    library.c.carve_view_free(view)


@contextmanager
def refused(code: int, message: str) -> Iterator[None]:
    with pytest.raises(LibcarveError) as failure:
        yield
    assert failure.value.code == code
    assert message in str(failure.value)


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def iou(one: Any, other: Any) -> float:
    return float((one & other).sum() / (one | other).sum())


def compare(library: Library, view: c.c_void_p, pair: Pair, options: Any = None) -> None:
    """Ask in C and compare everything with Python's result."""
    wanted = pair.result
    handle = library.ask(view, pair.question, options)
    got = library.read(handle)
    assert (text(got.answer), text(got.plain_answer)) == (wanted.answer, wanted.plain_answer)
    assert tuple(got.ids[: got.id_count]) == wanted.token_ids
    assert tuple(got.plain_ids[: got.plain_id_count]) == wanted.plain_token_ids
    shape = got.height, got.width
    assert shape == wanted.mask.shape
    mask = array(got.mask, *shape).astype(bool)
    assert iou(mask, wanted.mask) >= IOU
    np.testing.assert_allclose(array(got.saliency, *shape), wanted.saliency, rtol=1e-4)
    assert tuple(got.box) == wanted.bbox
    refined = array(got.refined, got.refined_height, got.refined_width, 3)
    np.testing.assert_array_equal(refined, wanted.refined_image)
    assert bool(got.refined_limited) == wanted.refined_limited
    library.c.carve_result_free(handle)


def test_the_same_answers_as_python(library: Library, model: c.c_void_p, pairs: list[Pair]) -> None:
    for pair in pairs:
        view = library.look(model, load_image(pair.image))
        compare(library, view, pair)
        library.c.carve_view_free(view)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": "all", "strategy": "size", "rule": "released", "mask_top_p": 0.3},
        {"steps": "last", "strategy": "remove_small", "outlier_percent": 5.0},
        {"final_prompt": "refined", "max_regions": 3, "geometry": "released"},
        {"layers": (0, 2, 3), "max_refined_pixels": 5000, "max_new_tokens": 2},
        {"contrast": "off"},
        {"contrast": "auto", "layers": (1,)},
        {"contrast": "auto", "layers": (2, 3), "steps": "all"},
        {"regularizer": "auto", "mask_top_p": "auto", "steps": "all", "layers": (0, 1, 2)},
    ],
)
def test_settings(
    changes: dict[str, Any], library: Library, view: c.c_void_p, model: c.c_void_p, pocket: Carve
) -> None:
    image = POCKET / "example.jpg"
    pair = Pair(image, QUESTION, pocket.ask(image, QUESTION, **changes))
    given = {
        name: ENUMS[name].index(value) if name in ENUMS else AUTOMATIC.get(value, value)
        for name, value in changes.items()
        if name != "layers"
    }
    options = library.options(model, **given)
    if "layers" in changes:
        layers = (c.c_int32 * len(changes["layers"]))(*changes["layers"])
        options.layers, options.layer_count = layers, len(layers)
    compare(library, view, pair, options)


def test_default_settings(library: Library, pocket: Carve, tmp_path: Path) -> None:
    """A bundle's defaults may follow from the attention, and save time."""

    def edit(manifest: dict[str, Any]) -> None:
        automatic = {"mask_top_p": "auto", "regularizer": "auto", "contrast": "auto"}
        manifest["defaults"] |= automatic | {"early_exit": True, "final_pixels": 5000}

    model = library.open(edited(tmp_path / "bundle", "carve.json", edit))
    options = library.options(model)
    assert (options.mask_top_p, options.regularizer) == (libcarve.AUTO, libcarve.AUTO)
    assert options.contrast == ENUMS["contrast"].index("auto")
    assert options.max_refined_pixels == 5000
    library.c.carve_model_free(model)


def test_a_plain_answer(library: Library, view: c.c_void_p, pocket: Carve) -> None:
    result = library.made("plain", view, QUESTION.encode(), 0)
    got = library.read(result)
    assert text(got.answer) == pocket.plain(POCKET / "example.jpg", QUESTION).answer
    assert got.plain_answer is None
    assert not got.mask
    library.c.carve_result_free(result)


def test_rows_with_gaps_and_a_model_freed_first(library: Library, pairs: list[Pair]) -> None:
    pixels = load_image(pairs[0].image)
    wide = np.pad(pixels, ((0, 0), (0, 7), (0, 0)))[:, : pixels.shape[1]]
    model = library.open(POCKET, sizes_only=1)
    view = library.look(model, wide)
    wide[:] = 0  # the view has its own
    library.c.carve_model_free(model)
    compare(library, view, pairs[0])
    library.c.carve_view_free(view)


def harness(name: str, onnxruntime: Path, folder: Path, *flags: str) -> Path:
    """Compile one of ``tests/consumers/c`` with the library's sources."""
    libraries = run("pkg-config", "--cflags", "--libs", "libcjson", "libpcre2-8").split()
    sources = [*sorted((SOURCE / "src").glob("*.c")), HERE / "c" / f"{name}.c"]
    run(
        *("cc", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-g", "-O1", *flags, *sources),
        *("-I", SOURCE / "include", "-I", SOURCE / "src", "-isystem", onnxruntime / "include"),
        *("-o", folder / name, *libraries, "-L", onnxruntime / "lib", "-lonnxruntime", "-lm"),
        f"-Wl,-rpath,{onnxruntime / 'lib'}",
    )
    return folder / name


def test_text_and_ids_are_pythons(onnxruntime: Path, pocket: Carve, tmp_path: Path) -> None:
    program = harness("text", onnxruntime, tmp_path)
    encoder = pocket._model.text
    texts = random_texts(2000)
    given = b"".join(text.encode() + b"\0" for text in texts)
    done = subprocess.run([program, POCKET, "encode"], input=given, capture_output=True, check=True)
    for text, line in zip(texts, done.stdout.decode().splitlines(), strict=True):
        assert line == " ".join(map(str, encoder.encode(text))), repr(text)

    random = np.random.default_rng(1)
    vocabulary = pocket.manifest.decoder.vocab_size
    lists = [random.integers(0, vocabulary, random.integers(0, 9)).tolist() for _ in range(2000)]
    lists = [ids for ids in lists if "\0" not in encoder.decode(ids)]  # it ends texts in C
    given = b"".join(" ".join(map(str, ids)).encode() + b"\0" for ids in lists)
    done = subprocess.run([program, POCKET, "decode"], input=given, capture_output=True, check=True)
    answers = done.stdout.decode().split("\0")[:-1]
    for ids, answer in zip(lists, answers, strict=True):
        assert answer.strip() == encoder.decode(ids), ids


def test_questions_encoded_beforehand(
    library: Library, view: c.c_void_p, pocket: Carve, tmp_path: Path
) -> None:
    """A tokenizer that the library cannot run answers the questions of the file, and no others."""
    bundle = edited(tmp_path / "bundle", "tokenizer.json", refused_tokenizer)
    questions = tmp_path / "questions.json"
    write_questions(bundle, [QUESTION], questions)
    model = library.open(bundle, prompts=str(questions).encode())
    opened = library.look(model, load_image(POCKET / "example.jpg"))
    image = POCKET / "example.jpg"
    compare(library, opened, Pair(image, QUESTION, pocket.ask(image, QUESTION)))
    with refused(libcarve.UNSUPPORTED, "it adds tokens that are not special"):
        library.ask(opened, "Another question?")
    library.c.carve_view_free(opened)
    library.c.carve_model_free(model)
    with refused(libcarve.BUNDLE, "made for another tokenizer"):
        library.open(POCKET, prompts=str(questions).encode())


def refused_tokenizer(document: dict[str, Any]) -> None:
    document["added_tokens"].append({**document["added_tokens"][0], "special": False})
    document["added_tokens"][-1] |= {"id": 4, "content": "!"}


def edited(folder: Path, name: str, edit: Any) -> Path:
    """Return a copy of pocket with one JSON file changed, and its manifest to match."""
    shutil.copytree(POCKET, folder, ignore=shutil.ignore_patterns("checkpoint"))
    document = json.loads((folder / name).read_text())
    edit(document)
    (folder / name).write_text(json.dumps(document))
    if name != "carve.json":
        manifest = json.loads((folder / "carve.json").read_text())
        path = folder / name
        manifest["files"][name] = {"size": path.stat().st_size, "sha256": sha256(path)}
        (folder / "carve.json").write_text(json.dumps(manifest))
    return folder


def test_the_examples(installed: Path, pocket: Carve, tmp_path: Path) -> None:
    image = Image.open(POCKET / "example.jpg").convert("RGB")
    result = pocket.ask(image, QUESTION)
    for suffix in ("ppm", "png"):
        image.save(tmp_path / f"picture.{suffix}")
        refined = tmp_path / "refined.png"
        printed = run(
            installed / "carve_answer", POCKET, tmp_path / f"picture.{suffix}", QUESTION, refined
        )
        assert f"plain  {result.plain_answer}\nCARVE  {result.answer}\n" in printed
        assert str(result.bbox) in printed
        np.testing.assert_array_equal(np.asarray(Image.open(refined)), result.refined_image)
    frames = (tmp_path / "picture.ppm").read_bytes() * 2
    done = subprocess.run(
        [installed / "carve_frames", POCKET, QUESTION],
        input=frames,
        capture_output=True,
        check=True,
    )
    box = ",".join(map(str, result.bbox))
    assert done.stdout.decode() == "".join(f"{i}\t{result.answer}\t{box}\n" for i in range(2))


def test_what_is_installed(installed: Path, tmp_path: Path) -> None:
    lib = installed / "lib"
    assert (lib / "libcarve.so.0").resolve().name == "libcarve.so.0.1.0"
    assert "libcarve.so.0" in run("readelf", "-d", lib / "libcarve.so")
    symbols = run("nm", "-D", "--defined-only", lib / "libcarve.so").split()
    exported = {symbol.split("@")[0] for symbol in symbols if symbol.startswith("carve_")}
    handles = ("result", "view", "model")
    frees = {f"carve_{name}_free" for name in handles}
    assert exported == frees | {f"carve_{name}" for name in libcarve.FUNCTIONS}
    program = tmp_path / "program.c"
    program.write_text("#include <carve.h>\nint main(void) { carve_model_free(0); return 0; }\n")
    environment = {**os.environ, "PKG_CONFIG_PATH": str(lib / "pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "libcarve", env=environment).split()
    run("cc", "-std=c99", "-pedantic", "-Werror", program, "-o", tmp_path / "program", *flags)
    cxx = tmp_path / "program.cc"
    shutil.copy(program, cxx)
    run("c++", "-Wall", "-Werror", "-c", cxx, "-o", tmp_path / "cxx.o", *flags)
    run(tmp_path / "program", env={**os.environ, "LD_LIBRARY_PATH": str(lib)})


def truncate(name: str) -> Any:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:100])

    return damage


def remove(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def swap(folder: Path) -> None:
    path = folder / "onnx" / "vision_encoder.onnx"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("carve.json"), "cannot be read"),
        (truncate("carve.json"), "is not JSON"),
        (remove("onnx/embed_tokens.onnx"), "embed_tokens.onnx is missing"),
        (truncate("onnx/decoder_model_merged.onnx"), "has 100 bytes"),
        (truncate("tokenizer.json"), "has 100 bytes"),
        (swap, "SHA-256 differs"),
    ],
)
def test_damaged_bundles(damage: Any, message: str, library: Library, tmp_path: Path) -> None:
    folder = edited(tmp_path / "bundle", "carve.json", lambda document: None)
    damage(folder)
    with refused(libcarve.BUNDLE, message):
        library.open(folder)


@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (lambda m: m.update(schema_version=9), libcarve.UNSUPPORTED, "schema version 9"),
        (lambda m: m["graphs"].pop("preprocess"), libcarve.UNSUPPORTED, "no graph preprocess"),
        (lambda m: m["image"].update(kind="tiled"), libcarve.UNSUPPORTED, "of the kind 'tiled'"),
        (lambda m: m["image"].pop("grid"), libcarve.BUNDLE, "grid"),
        (lambda m: m["defaults"].update(adaptive=True), libcarve.UNSUPPORTED, "adaptive"),
        (lambda m: m["defaults"].update(mask_top_p="some"), libcarve.BUNDLE, "mask_top_p"),
        (
            lambda m: m["graphs"]["decoder_model_merged"]["inputs"].pop(),
            libcarve.UNSUPPORTED,
            "inputs that this library does not feed",
        ),
        (
            lambda m: m["graphs"]["embed_tokens"].update(file="../embed_tokens.onnx"),
            libcarve.BUNDLE,
            "outside the bundle",
        ),
        (lambda m: m["decoder"].update(hidden_size=127), libcarve.BUNDLE, "another type or shape"),
    ],
)
def test_other_manifests(
    edit: Any, code: int, message: str, library: Library, tmp_path: Path
) -> None:
    folder = edited(tmp_path / "bundle", "carve.json", edit)
    with refused(code, message):
        library.look(library.open(folder), load_image(POCKET / "example.jpg"))


def test_providers(library: Library) -> None:
    with refused(libcarve.PROVIDER, "no NoSuchExecutionProvider"):
        library.open(POCKET, provider=b"NoSuchExecutionProvider")
    with refused(libcarve.SETTINGS, "threads is -1"):
        library.open(POCKET, threads=-1)


def test_wrong_arguments(library: Library, model: c.c_void_p, view: c.c_void_p) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    with refused(libcarve.INVALID, "The folder is NULL"):
        library.made("open", None, None)
    with refused(libcarve.INVALID, "The model's address is NULL"):
        library.call("open", b"", None, None)
    with refused(libcarve.INVALID, "struct_size 3"):
        library.made("open", str(POCKET).encode(), c.byref(libcarve.OpenOptions(3)))
    with refused(libcarve.INVALID, "The model is NULL"):
        library.look(c.c_void_p(), pixels)
    with refused(libcarve.INVALID, "image->pixels is NULL"):
        library.look(model, pixels, pixels=None)
    for sides in ((0, 20), (30, 0), (1, 20), (-30, 20), (30, 2**31 - 1)):
        with refused(libcarve.IMAGE, "The image is"):
            library.look(model, pixels, width=sides[0], height=sides[1])
    with refused(libcarve.IMAGE, "a ratio above"):
        library.look(model, np.zeros((2, 600, 3), np.uint8))
    with refused(libcarve.IMAGE, "row_bytes is 89"):
        library.look(model, pixels, row_bytes=89)
    with refused(libcarve.INVALID, "The view is NULL"):
        library.ask(c.c_void_p(), QUESTION)
    with refused(libcarve.INVALID, "The question is NULL"):
        library.made("ask", view, None, None)
    with refused(libcarve.INVALID, "The result is NULL"):
        library.read(c.c_void_p())
    with refused(libcarve.PROMPT, "not valid UTF-8"):
        library.ask(view, "what\udcff?")
    with refused(libcarve.PROMPT, "is empty"):
        library.ask(view, " \n")
    with refused(libcarve.PROMPT, "positions"):
        library.ask(view, "what " * 1500)
    with refused(libcarve.PROMPT, "more than 16384 bytes"):
        library.ask(view, "what " * 15000)


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"struct_size": 8}, libcarve.INVALID, "struct_size 8"),
        ({"layer_count": 0}, libcarve.SETTINGS, "layers is empty"),
        ({"steps": 3}, libcarve.SETTINGS, "steps is 3"),
        ({"strategy": -1}, libcarve.SETTINGS, "strategy is -1"),
        ({"mask_top_p": 0.0}, libcarve.SETTINGS, "mask_top_p is 0"),
        ({"mask_top_p": float("nan")}, libcarve.SETTINGS, "mask_top_p is"),
        ({"outlier_percent": 101.0}, libcarve.SETTINGS, "outlier_percent is 101"),
        ({"max_regions": 0}, libcarve.SETTINGS, "max_regions is 0"),
        ({"max_new_tokens": -2}, libcarve.SETTINGS, "max_new_tokens is -2"),
        ({"max_new_tokens": 5000}, libcarve.PROMPT, "positions"),
        ({"contrast": 3}, libcarve.SETTINGS, "contrast is 3"),
        ({"outlier_percent": libcarve.AUTO}, libcarve.SETTINGS, "outlier_percent is -1"),
        ({"max_refined_pixels": -1}, libcarve.SETTINGS, "max_refined_pixels is -1"),
    ],
)
def test_wrong_settings(
    changes: dict[str, Any],
    code: int,
    message: str,
    library: Library,
    model: c.c_void_p,
    view: c.c_void_p,
) -> None:
    options = library.options(model)
    for name, value in changes.items():
        setattr(options, name, value)
    with refused(code, message):
        library.ask(view, QUESTION, options)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return edited(tmp_path / "scratch", "carve.json", lambda document: None)


def test_random_damage_under_the_sanitizers(
    onnxruntime: Path, scratch: Path, tmp_path: Path
) -> None:
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = harness("mutate", onnxruntime, tmp_path, *flags)
    assert run(program, POCKET, scratch, MUTATIONS, 1) == f"{MUTATIONS} inputs\n"


def test_random_damage_under_valgrind(onnxruntime: Path, scratch: Path, tmp_path: Path) -> None:
    """What reads files and text; ONNX Runtime's own code would take minutes there."""
    program = harness("mutate", onnxruntime, tmp_path)
    flags = (
        "--quiet",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
        "--error-exitcode=1",
    )
    run("valgrind", *flags, program, POCKET, scratch, VALGRIND_MUTATIONS, 2, "files")
