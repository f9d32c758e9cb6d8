#!/usr/bin/env bash
# Put ONNX Runtime's C headers and library under FOLDER: include/onnxruntime_c_api.h and
# lib/libonnxruntime.so. Usage: get_onnxruntime.sh FOLDER [PYTHON]
#
# The headers are those of libonnxruntime-dev in Debian 13 (API 21: libraries of that version and
# later serve them) or Ubuntu 26.04 (API 23), on older systems of either kind too. They are fetched
# with a private package list, so that neither the machine's sources nor its packages change; the
# archive's address and keys are those of the machine's own sources. The library is that of PYTHON's
# onnxruntime wheel, which has no headers.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd)
python=${2:-python3}
package=libonnxruntime-dev

fail() {
    echo "get_onnxruntime.sh: $1" >&2
    exit 1
}

if [ ! -f "$folder/include/onnxruntime_c_api.h" ]; then
    system=$(. /etc/os-release && echo "$ID")
    case $system in
        debian) suite="trixie main" ;;
        ubuntu) suite="resolute universe" ;;
        *) fail "neither Debian nor Ubuntu: put ONNX Runtime's headers into $folder/include yourself" ;;
    esac
    archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' |
        grep -E '^mirror|/(debian|ubuntu|ubuntu-ports)/?$' | grep -v //security -m 1) ||
        fail "no archive of $system among this machine's apt sources"

    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/$system-archive-keyring.gpg] $archive $suite" \
        >"$scratch/sources.list"
    touch "$scratch/status"
    options=(
        -o "Dir::Etc::SourceList=$scratch/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$scratch/lists" -o "Dir::State::Status=$scratch/status"
        -o "Dir::Cache=$scratch/cache" -o APT::Sandbox::User=root
    )
    apt-get "${options[@]}" -qq update
    (cd "$scratch" && apt-get "${options[@]}" -qq download "$package")
    dpkg -x "$scratch/$package"_*.deb "$scratch/root"
    header=$(find "$scratch/root" -name onnxruntime_c_api.h -print -quit)
    [ -n "$header" ] || fail "$package has no onnxruntime_c_api.h"
    mkdir -p "$folder/include"
    cp "$(dirname "$header")"/*.h "$folder/include/"
fi

library=$("$python" -c 'import glob, importlib.util as u, os
folder = u.find_spec("onnxruntime").submodule_search_locations[0]
print(glob.glob(os.path.join(folder, "capi", "libonnxruntime.so.*"))[0])')
mkdir -p "$folder/lib"
ln -sf "$library" "$folder/lib/libonnxruntime.so.1" # its SONAME
ln -sf libonnxruntime.so.1 "$folder/lib/libonnxruntime.so"
echo "$folder"
