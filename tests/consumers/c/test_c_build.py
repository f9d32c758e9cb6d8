"""What an installation of libcarve has, and how programs are built with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.consumers.building import SOURCE, run
from tests.consumers.c import libcarve
from tests.support import POCKET, ROOT

#: Opens a bundle, with functions of its own that have the names of some in the library.
PROGRAM = """
#include <carve.h>
#include <stdio.h>

int failure(void) { return 0; }
int read_file(void) { return failure(); }

int main(int argc, char **argv) {
    carve_model *model;
    carve_status status = carve_open(argc > 1 ? argv[1] : NULL, NULL, &model);
    puts(status.code == CARVE_OK ? "opened" : status.message);
    carve_model_free(model);
    return status.code != CARVE_OK || read_file();
}
"""
PROJECT = """cmake_minimum_required(VERSION 3.18)
project(program C)
find_package(carve {version} REQUIRED{component})
add_executable(program program.c)
target_link_libraries(program {target})
"""
VERSION = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
FUNCTIONS = {f"carve_{name}_free" for name in libcarve.HANDLES} | {
    f"carve_{name}" for name in libcarve.FUNCTIONS
}


@pytest.fixture
def moved(installed: Path, tmp_path: Path) -> Path:
    """The installation in another place, where nothing names the first one."""
    prefix = tmp_path / "moved"
    shutil.copytree(installed, prefix, symlinks=True)
    for path in [*(prefix / "lib").rglob("*"), *(prefix / "include").rglob("*")]:
        assert path.is_dir() or bytes(installed) not in path.read_bytes(), path
    return prefix


@pytest.fixture
def program(tmp_path: Path) -> Path:
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    return source


def finding(*folders: Path) -> dict[str, str]:
    """Return an environment in which programs find libraries in these folders."""
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, folders))}


def flags(prefix: Path, package: str, *options: str) -> list[str]:
    environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    return run("pkg-config", *options, package, env=environment).split()


def test_what_is_installed(installed: Path) -> None:
    lib = installed / "lib"
    assert (lib / "libcarve.so.0").resolve().name == f"libcarve.so.{VERSION}"
    assert flags(installed, "libcarve", "--modversion") == [VERSION]
    header = (installed / "include" / "carve.h").read_text()
    numbers = re.findall(r"define CARVE_VERSION_\w+ (\d+)", header)
    assert numbers == VERSION.split(".")[: len(numbers)]
    assert "libcarve.so.0" in run("readelf", "-d", lib / "libcarve.so")
    for symbols in (("-D", lib / "libcarve.so"), ("-g", lib / "libcarve.a")):
        names = run("nm", "--defined-only", *symbols).split()
        assert {name.split("@")[0] for name in names} & FUNCTIONS == FUNCTIONS
        assert {name for name in names if name.islower() and "_" in name} <= {
            *FUNCTIONS,
            *(f"{name}@@CARVE_0" for name in FUNCTIONS),
            "carve_whole.o:",
        }


def test_pkg_config(moved: Path, program: Path, onnxruntime: Path, tmp_path: Path) -> None:
    built = tmp_path / "program"
    strict = ("cc", "-std=c99", "-pedantic", "-Werror", program, "-o", built)
    run(*strict, *flags(moved, "libcarve", "--cflags", "--libs"))
    assert run(built, POCKET, env=finding(moved / "lib")) == "opened\n"
    run(*strict, *flags(moved, "libcarve-static", "--cflags", "--libs"))
    assert "libcarve" not in run("readelf", "-d", built)
    assert run(built, POCKET, env=finding(onnxruntime / "lib")) == "opened\n"
    cxx = tmp_path / "program.cc"
    shutil.copy(program, cxx)
    compiled = ("c++", "-Wall", "-Werror", "-c", cxx, "-o", tmp_path / "cxx.o")
    run(*compiled, *flags(moved, "libcarve", "--cflags"))


@pytest.mark.parametrize(
    ("target", "component"), [("carve::carve", ""), ("carve::static", " COMPONENTS static")]
)
def test_cmake(target: str, component: str, moved: Path, program: Path, tmp_path: Path) -> None:
    major, minor, _ = VERSION.split(".")
    names = {"target": target, "component": component}
    project = PROJECT.format(**names, version=f"{major}.{minor}")
    (tmp_path / "CMakeLists.txt").write_text(project)
    configure = ("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={moved}")
    run(*configure)
    run("cmake", "--build", tmp_path / "build")
    assert run(tmp_path / "build" / "program", POCKET) == "opened\n"

    later = f"{major}.{int(minor) + 1}"
    (tmp_path / "CMakeLists.txt").write_text(PROJECT.format(**names, version=later))
    refused = subprocess.run(list(map(str, configure)), capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert f'compatible with requested version "{later}"' in " ".join(refused.stderr.split())


def test_another_release_of_onnx_runtime(
    moved: Path, program: Path, onnxruntime: Path, tmp_path: Path
) -> None:
    """One whose symbols have another version, as every release's have."""
    built = tmp_path / "program"
    run("cc", program, "-o", built, *flags(moved, "libcarve", "--cflags", "--libs"))
    library = onnxruntime / "lib" / "libonnxruntime.so.1"
    there = library.read_bytes()
    version = re.search(rb"VERS_\d+\.(\d+)\.\d+", there)
    assert version
    another = version[0].replace(version[1], b"9" * len(version[1]))
    (tmp_path / library.name).write_bytes(there.replace(version[0], another))
    assert run(built, POCKET, env=finding(moved / "lib", tmp_path)) == "opened\n"
    found = run("ldd", built, env=finding(moved / "lib", tmp_path))
    assert f"{tmp_path / library.name} " in found


def test_onnx_runtime_beside_it(onnxruntime: Path, program: Path, tmp_path: Path) -> None:
    """An installation that brings ONNX Runtime needs nothing of the place where it was built."""
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    run(
        *("cmake", "-S", SOURCE, "-B", build, f"-DONNXRUNTIME_ROOT={onnxruntime}"),
        *(f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DCMAKE_INSTALL_LIBDIR=lib"),
        *("-DCARVE_INSTALL_ONNXRUNTIME=ON", "-DCARVE_EXAMPLES=OFF", "-DCARVE_STATIC=OFF"),
    )
    run("cmake", "--build", build)
    run("cmake", "--install", build)
    moved = prefix.rename(tmp_path / "moved")
    assert str(onnxruntime) not in run("readelf", "-d", moved / "lib" / "libcarve.so")
    built = tmp_path / "program"
    given = flags(moved, "libcarve", "--cflags", "--libs")
    assert not any(str(onnxruntime) in flag for flag in given)
    run("cc", program, "-o", built, *given)
    assert run(built, POCKET, env=finding(moved / "lib")) == "opened\n"
    assert f"{moved / 'lib' / 'libonnxruntime.so.1'} " in run(
        "ldd", built, env=finding(moved / "lib")
    )
