#!/usr/bin/env bash
# Build libcarve and carve_answer for 64-bit Windows with mingw-w64, and ask the default bundle under wine where
# that is installed. Usage: windows.sh FOLDER
# ONNX Runtime is that of the wheel for win_amd64; the other libraries are built from Debian's sources.
. "$(dirname "$0")/cross.sh"
require gcc-mingw-w64-x86-64 x86_64-w64-mingw32-gcc
require cmake cmake
require pkg-config pkg-config

onnxruntime win_amd64
fetch deb-src amd64 cjson pcre2 utf8proc libpng1.6 zlib libjpeg-turbo
prefix=$folder/prefix
cross=(
    -DCMAKE_SYSTEM_NAME=Windows -DCMAKE_SYSTEM_PROCESSOR=x86_64 -DCMAKE_C_COMPILER=x86_64-w64-mingw32-gcc
    -DCMAKE_RC_COMPILER=x86_64-w64-mingw32-windres -DCMAKE_FIND_ROOT_PATH="$prefix"
    -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY
    -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_TYPE=Release
)

unpack() { # NAME: into FOLDER/sources/NAME
    mkdir -p "$folder/sources/$1"
    tar -xf "$folder"/packages/"$1"_*.orig.tar.* -C "$folder/sources/$1" --strip-components 1
}

library() { # NAME OPTION...: build one of the sources, statically, and install it
    local name=$1 sources=$folder/sources/$1
    shift
    unpack "$name"
    cmake -S "$sources" -B "$folder/build-$name" "${cross[@]}" -DBUILD_SHARED_LIBS=OFF "$@"
    cmake --build "$folder/build-$name"
    cmake --install "$folder/build-$name"
}

library cjson -DENABLE_CJSON_TEST=OFF -DENABLE_CUSTOM_COMPILER_FLAGS=OFF -DCMAKE_C_FLAGS=-DCJSON_HIDE_SYMBOLS
library pcre2 -DPCRE2_BUILD_TESTS=OFF -DPCRE2_BUILD_PCRE2GREP=OFF
library utf8proc -DUTF8PROC_ENABLE_TESTING=OFF
unpack zlib # whose source in Debian lacks what its CMake project needs for Windows
(cd "$folder/sources/zlib" && CHOST=x86_64-w64-mingw32 ./configure --static --prefix="$prefix" && make install)
library libpng1.6 -DPNG_SHARED=OFF -DPNG_TESTS=OFF
library libjpeg-turbo -DENABLE_SHARED=OFF -DWITH_SIMD=OFF -DCMAKE_INSTALL_LIBDIR="$prefix/lib"

# The wheel has no import library; libcarve imports one function.
printf 'LIBRARY onnxruntime.dll\nEXPORTS\nOrtGetApiBase\n' >"$folder/onnxruntime.def"
x86_64-w64-mingw32-dlltool -d "$folder/onnxruntime.def" -l "$folder/onnxruntime/lib/libonnxruntime.dll.a"

export PKG_CONFIG_LIBDIR=$prefix/lib/pkgconfig
cmake -S "$source_folder" -B "$folder/build" "${cross[@]}" -DCMAKE_FIND_ROOT_PATH="$prefix;$folder/onnxruntime" \
    -DONNXRUNTIME_ROOT="$folder/onnxruntime" -DCMAKE_C_FLAGS="-Werror -DPCRE2_STATIC -DUTF8PROC_STATIC" \
    -DCMAKE_C_STANDARD_LIBRARIES="$prefix/lib/libz.a"
cmake --build "$folder/build"
cmake --install "$folder/build"
cp "$folder/build/carve_answer.exe" "$folder/onnxruntime/lib/onnxruntime.dll" "$prefix/bin"
ls "$prefix/bin"
wine=$(command -v wine64 || echo /usr/lib/wine/wine64) # Debian's is not in the PATH
if [ -x "$wine" ]; then
    WINEPREFIX=$folder/wine WINEDEBUG=-all "$wine" "$prefix/bin/carve_answer.exe" --json "$bundle" "$picture" "$question"
fi
