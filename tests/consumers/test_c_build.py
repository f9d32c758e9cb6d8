"""What an installation of libcarve has, and its examples."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from carve_runtime import Carve
from tests.consumers import libcarve
from tests.consumers.building import QUESTION, run
from tests.support import POCKET


def test_the_examples(installed: Path, pocket: Carve, tmp_path: Path) -> None:
    image = Image.open(POCKET / "example.jpg").convert("RGB")
    result = pocket.ask(image, QUESTION)
    for suffix in ("ppm", "png"):
        image.save(tmp_path / f"picture.{suffix}")
        refined = tmp_path / "refined.png"
        printed = run(
            *(installed / "carve_answer", POCKET, tmp_path / f"picture.{suffix}", QUESTION),
            *(refined, "CPUExecutionProvider"),
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
