# Functions of aarch64.sh and windows.sh, which build libcarve for another system on Debian and run it in an
# emulator. Everything they fetch is put into FOLDER; the machine's packages stay as they are.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_folder=$(dirname "$here")
repository=$(cd "$source_folder/../.." && pwd)
python=${PYTHON:-python3}

[ $# = 1 ] || { echo "usage: ${0##*/} FOLDER" >&2; exit 1; }
folder=$(mkdir -p "$1" && cd "$1" && pwd)

require() { # PACKAGE COMMAND...: commands, and Debian's package that brings them
    local package=$1 command
    shift
    for command in "$@"; do
        command -v "$command" >/dev/null || {
            echo "${0##*/}: no $command here: apt-get install $package" >&2
            exit 1
        }
    done
}

fetch() { # "deb" or "deb-src", ARCHITECTURE, PACKAGE...: into FOLDER/packages, by a private list
    local kind=$1 architecture=$2 options
    shift 2
    mkdir -p "$folder"/apt/{lists,cache/archives}/partial "$folder/packages"
    touch "$folder/apt/status"
    echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian ${SUITE:-bookworm} main" \
        >"$folder/apt/sources.list"
    options=(
        -qq -o "Dir::Etc::SourceList=$folder/apt/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$folder/apt/lists" -o "Dir::State::Status=$folder/apt/status"
        -o "Dir::Cache=$folder/apt/cache" -o APT::Sandbox::User=root
        -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture"
    )
    apt-get "${options[@]}" update
    if [ "$kind" = deb ]; then
        (cd "$folder/packages" && apt-get "${options[@]}" download "$@")
    else
        (cd "$folder/packages" && apt-get "${options[@]}" source --download-only "$@")
    fi
}

onnxruntime() { # PLATFORM: the wheel's library and the headers, into FOLDER/onnxruntime
    "$python" -m pip download --quiet --dest "$folder/wheel" --no-deps --only-binary=:all: \
        --platform "$1" --python-version 3.12 onnxruntime
    "$source_folder/get_onnxruntime.sh" "$folder/onnxruntime" "$folder"/wheel/onnxruntime-*.whl
}

# What is asked: the answer is to be that of this machine's own build.
bundle=$repository/models/pocket
question="What word is on the purple square?"
picture=$bundle/example.jpg
