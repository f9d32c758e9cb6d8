#!/usr/bin/env bash
# Put ONNX Runtime's C headers and library under FOLDER: include/onnxruntime_c_api.h and
# lib/libonnxruntime.so. Usage: get_onnxruntime.sh FOLDER [PYTHON]
#
# The headers are those of Debian 13's libonnxruntime-dev (API 21: libraries of that version and
# later serve them), fetched with a private package list, so that neither the machine's sources nor
# its packages change; the archive's address and keys are those of the machine's own sources. The
# library is that of PYTHON's onnxruntime wheel, which has no headers.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd)
python=${2:-python3}
suite=trixie
package=libonnxruntime-dev

archive=$(grep -rshoE '^[^#]*https?://[^ ]+/debian/?( |$)' --include='*.list' --include='*.sources' \
    /etc/apt | grep -oE 'https?://[^ ]+' | head -n 1) || true
[ -n "$archive" ] || { echo "no Debian archive among this machine's apt sources" >&2; exit 1; }

if [ ! -f "$folder/include/onnxruntime_c_api.h" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main" \
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
    [ -n "$header" ] || { echo "$package has no onnxruntime_c_api.h" >&2; exit 1; }
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
