#!/usr/bin/env bash
# Put ONNX Runtime's C headers and library under FOLDER: include/onnxruntime_c_api.h and
# lib/libonnxruntime.so. Usage: get_onnxruntime.sh FOLDER [PYTHON | WHEEL.whl]
#
# The headers are those of libonnxruntime-dev in Debian 13 (API 21: libraries of that version and
# later serve them) or Ubuntu 26.04 (API 23), on older systems of either kind too. They are fetched
# with a private package list, so that neither the machine's sources nor its packages change; the
# archive's address and keys are those of the machine's own sources. The library is that of PYTHON's
# onnxruntime wheel, which has no headers, or of a wheel's file, which may be for another processor
# (pip download --no-deps --only-binary=:all: --platform manylinux_2_28_aarch64 onnxruntime).
set -euo pipefail

fail() {
    echo "get_onnxruntime.sh: $*" >&2
    exit 1
}

require() { # COMMAND what it is for, and what to do
    command -v "$1" >/dev/null || fail "no $1 here. $2"
}

[ $# = 1 ] || [ $# = 2 ] || fail "usage: get_onnxruntime.sh FOLDER [PYTHON | WHEEL.whl]"
folder=$(mkdir -p "$1" && cd "$1" && pwd)
source=${2:-python3}
python=python3
[ "${source%.whl}" = "$source" ] && python=$source
package=libonnxruntime-dev
by_hand="Or put ONNX Runtime's headers into $folder/include yourself: they are in include/ of the archives at https://github.com/microsoft/onnxruntime/releases."
require "$python" "It finds and unpacks onnxruntime's wheel: install it, or name another as the second argument."

if [ ! -f "$folder/include/onnxruntime_c_api.h" ]; then
    system=$([ -r /etc/os-release ] && . /etc/os-release && echo "${ID:-}" || true)
    case $system in
        debian) suite="trixie main" ;;
        ubuntu) suite="resolute universe" ;;
        *) fail "this is ${system:-no system that /etc/os-release names}, and the headers come from Debian's or Ubuntu's packages. $by_hand" ;;
    esac
    require apt-get "It fetches the headers' package. $by_hand"
    require dpkg "It unpacks the headers' package. $by_hand"
    keys=/usr/share/keyrings/$system-archive-keyring.gpg
    [ -f "$keys" ] || fail "no $keys, with which packages are verified: apt-get install $system-archive-keyring. $by_hand"
    archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' |
        grep -E '^mirror|/(debian|ubuntu|ubuntu-ports)/?$' | grep -v //security -m 1) ||
        fail "no archive of $system among this machine's apt sources (apt-get update makes the list). $by_hand"

    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
    echo "deb [signed-by=$keys] $archive $suite" >"$scratch/sources.list"
    touch "$scratch/status"
    options=(
        -o "Dir::Etc::SourceList=$scratch/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$scratch/lists" -o "Dir::State::Status=$scratch/status"
        -o "Dir::Cache=$scratch/cache" -o APT::Sandbox::User=root
    )
    apt-get "${options[@]}" -qq update ||
        fail "the packages of $suite cannot be listed from $archive: is the network there? $by_hand"
    (cd "$scratch" && apt-get "${options[@]}" -qq download "$package") ||
        fail "$package of $suite is not at $archive. $by_hand"
    dpkg -x "$scratch/$package"_*.deb "$scratch/root"
    header=$(find "$scratch/root" -name onnxruntime_c_api.h -print -quit)
    [ -n "$header" ] || fail "$package has no onnxruntime_c_api.h. $by_hand"
    mkdir -p "$folder/include"
    cp "$(dirname "$header")"/*.h "$folder/include/"
fi

# Prints the library's path; that of a wheel's file is unpacked first.
library=$("$python" - "$source" "$folder" <<'PYTHON'
import importlib.util, pathlib, sys, zipfile

source, folder = sys.argv[1:]
patterns = "capi/libonnxruntime.so.*", "capi/libonnxruntime.*.dylib", "capi/onnxruntime.dll"
if source.endswith(".whl"):
    if not pathlib.Path(source).is_file():
        sys.exit(f"get_onnxruntime.sh: there is no file {source}")
    with zipfile.ZipFile(source) as wheel:
        for name in wheel.namelist():
            if any(pathlib.PurePosixPath(name).match(pattern) for pattern in patterns):
                wheel.extract(name, folder)
    package = pathlib.Path(folder, "onnxruntime")
else:
    found = importlib.util.find_spec("onnxruntime")
    if found is None:
        sys.exit(f"get_onnxruntime.sh: {sys.executable} has no package onnxruntime, whose library is used. "
                 f"{sys.executable} -m pip install onnxruntime, or name another Python or a wheel's file.")
    package = pathlib.Path(found.submodule_search_locations[0])
libraries = [path for pattern in patterns for path in package.glob(pattern)]
if len(libraries) != 1:
    sys.exit(f"get_onnxruntime.sh: {package}/capi has {len(libraries)} libraries of ONNX Runtime in place of one")
print(libraries[0])
PYTHON
) || exit 1
mkdir -p "$folder/lib"
case $library in
    *.so.*)
        ln -sf "$library" "$folder/lib/libonnxruntime.so.1" # its SONAME
        ln -sf libonnxruntime.so.1 "$folder/lib/libonnxruntime.so"
        ;;
    *.dylib)
        ln -sf "$library" "$folder/lib/" # its install name
        ln -sf "${library##*/}" "$folder/lib/libonnxruntime.dylib"
        ;;
    *) ln -sf "$library" "$folder/lib/" ;;
esac
echo "$folder"
