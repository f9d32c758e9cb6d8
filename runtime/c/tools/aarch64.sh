#!/usr/bin/env bash
# Build libcarve and its examples for 64-bit Arm and ask the default bundle under qemu. Usage: aarch64.sh FOLDER
# ONNX Runtime is that of the wheel for manylinux_2_28_aarch64, the other libraries are Debian's for arm64.
. "$(dirname "$0")/cross.sh"
require gcc-aarch64-linux-gnu aarch64-linux-gnu-gcc
require qemu-user-static qemu-aarch64-static
require cmake cmake
require pkg-config pkg-config

onnxruntime manylinux_2_28_aarch64
fetch deb arm64 libc6 libgcc-s1 libstdc++6 zlib1g zlib1g-dev libcjson1 libcjson-dev \
    libpcre2-8-0 libpcre2-dev libutf8proc2 libutf8proc-dev libpng16-16 libpng-dev libturbojpeg0 libturbojpeg0-dev
sysroot=$folder/sysroot
for package in "$folder"/packages/*_arm64.deb; do dpkg -x "$package" "$sysroot"; done

export PKG_CONFIG_SYSROOT_DIR=$sysroot PKG_CONFIG_LIBDIR=$sysroot/usr/lib/aarch64-linux-gnu/pkgconfig
cmake -S "$source_folder" -B "$folder/build" -DONNXRUNTIME_ROOT="$folder/onnxruntime" \
    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc \
    -DCMAKE_EXE_LINKER_FLAGS="-Wl,-rpath-link,$sysroot/lib/aarch64-linux-gnu" \
    -DCMAKE_C_FLAGS=-Werror -DCMAKE_INSTALL_PREFIX="$folder/prefix" -DCMAKE_INSTALL_LIBDIR=lib
cmake --build "$folder/build"
cmake --install "$folder/build"
file -bL "$folder/prefix/lib/libcarve.so" "$folder/build/carve_answer" | cut -d, -f 1,2

# qemu takes files from the sysroot first. ONNX Runtime reads the processor's description when it is loaded, and
# crashes on that of an x86 machine; this is a Cortex-A72's.
mkdir -p "$sysroot/proc"
for ((number = 0; number < $(getconf _NPROCESSORS_CONF); number++)); do
    cat <<CPU
processor	: $number
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x0
CPU part	: 0xd08
CPU revision	: 3

CPU
done >"$sysroot/proc/cpuinfo"
qemu-aarch64-static -cpu cortex-a72 -L "$sysroot" "$folder/build/carve_answer" --json "$bundle" "$picture" "$question"
