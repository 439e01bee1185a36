#!/usr/bin/env bash
# Compiles every kernel for GPUs with the vendors' own compilers, which need no GPU: for NVIDIA
# (clang and ptxas: sm_70, sm_80, sm_90), AMD (clang: gfx90a, gfx1030, gfx1100) and Intel (ocloc:
# tgllp, dg2, pvc).
#
#   tests/gpu-compilers.sh            checks; a minute or two
#   tests/gpu-compilers.sh --update   also writes what it found to docs/gpu.md and
#                                     docs/gpu-kernels.tsv
#
# Fails on what a compiler refuses or leaves unresolved, on spilled registers and scratch memory, on
# more than 32 KiB of local memory a work-group, on a double where the device has none, and on a
# matrix product whose inner loop multiplies too little (tests/gpu_compilers.py says what is asked
# of it), and on a kernel that takes more registers or local memory than docs/gpu-kernels.tsv keeps
# for these versions of the compilers. First it shows that it would notice an unresolved function,
# scratch memory and local memory.
#
# Needs Debian's clang-19 and libclc-19 (CLANG names another clang), pip and apt-get for the rest,
# which it fetches into target/gpu-compilers. A compiler that can't be had is left out, and it says
# so.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/gpu-compilers
mkdir -p "$folder"
say() { echo "tests/gpu-compilers.sh: $*" >&2; }

if ! command -v python3 >/dev/null; then
    say "there is no python3: nothing was checked"
    exit 0
fi

# A fresh system has no lists of packages yet.
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        "$@" >/dev/null 2>&1
}
with_lists() { "$@" || { "${as_root[@]}" apt-get update >/dev/null 2>&1 && "$@"; }; }

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
clang=${CLANG:-clang-19}
if ! command -v "$clang" >/dev/null || ! [ -d /usr/lib/clc ]; then
    with_lists install clang-19 libclc-19 ||
        say "clang-19 and libclc-19 are not installed and could not be: nothing for NVIDIA and AMD"
fi

# ptxas of CUDA 12 is the last that knows sm_70.
if ! [ -x "$folder/nvidia/nvidia/cuda_nvcc/bin/ptxas" ]; then
    python3 -m pip install --quiet --no-deps --target "$folder/nvidia" \
        nvidia-cuda-nvcc-cu12==12.9.86 nvidia-cuda-nvdisasm==13.5.37 >/dev/null 2>&1 ||
        say "pip could not fetch ptxas and nvdisasm: nothing for NVIDIA"
    find "$folder/nvidia" -path '*/bin/*' -type f -exec chmod +x {} + 2>/dev/null || true
fi

# Unpacked, not installed: a driver of Intel's for GPUs would become a device of every program here.
if ! [ -x "$folder/intel/usr/bin/ocloc" ]; then
    packages=(intel-opencl-icd libigdfcl1 libigc1 libopencl-clang14 libigdgmm12 libllvmspirvlib14)
    mkdir -p "$folder/intel"
    fetch() { apt-get download "${packages[@]}" >/dev/null 2>&1; }
    (cd "$folder/intel" && with_lists fetch && for package in *.deb; do
        dpkg -x "$package" . && rm "$package"
    done) || say "apt-get could not fetch Intel's ocloc (${packages[*]}): nothing for Intel"
fi

rm -rf "$folder/sources"
cargo build --quiet --workspace --example opencl_sources
"${CARGO_TARGET_DIR:-target}/debug/examples/opencl_sources" "$folder/sources"
exec python3 tests/gpu_compilers.py --clang "$clang" --folder "$folder" "$@"
