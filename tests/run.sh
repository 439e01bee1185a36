#!/usr/bin/env bash
# Runs all tests: unit tests, examples and documentation examples of every package, gradient, parity
# and end-to-end tests.
#
#   tests/run.sh                         everything, a few minutes on two cores
#   tests/run.sh --opencl NAME [TESTS]   parity and gradients on another implementation of OpenCL,
#                                        fetched where need be: intel, pocl-loops, pocl-loopvec,
#                                        pocl-small, rusticl (docs/gpu.md)
#   tests/run.sh --mpi                   training and evaluation on ranks of MPI (tests/mpi.sh),
#                                        installed where need be
#   RUNG_TEST_CASES=20 tests/run.sh      the long variant: that many times as many random cases
#   RUNG_TEST_SEED=7 tests/run.sh        with a given seed instead of fresh ones, which are printed
#   RUNG_REAL_DATA=DIR tests/run.sh      also the tests on real data sets in DIR (mnist,
#                                        omniglot-rebuilt, …)
#   RUNG_REQUIRE_OPENCL=0 tests/run.sh   without an OpenCL device, and without installing one
#
# Needs Rust. The tests on OpenCL need a device of it: where there is none, PoCL, which computes on
# the CPU, is installed with apt (with sudo if need be). Where that can't be done it says what to
# install, and tests without.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "tests/run.sh: $*" >&2; }

has_opencl_device() {
    cargo run --quiet --package rung -- --quiet devices --json | grep '"name":"opencl:' >/dev/null
}

# Installs the OpenCL loader and PoCL, or says how to.
install_pocl() {
    local packages=(ocl-icd-libopencl1 pocl-opencl-icd) as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        # Without a terminal nobody can answer sudo's question.
        as_root=(sudo)
        [ -t 0 ] || as_root+=(-n)
    fi
    if ! command -v apt-get >/dev/null ||
        { [ "${#as_root[@]}" -gt 0 ] && ! command -v sudo >/dev/null; }; then
        say "no OpenCL device, and no way to install one here:" \
            "install ${packages[*]} (or a GPU's driver)"
        return 1
    fi
    say "no OpenCL device: installing ${packages[*]}"
    local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get install -y --no-install-recommends "${packages[@]}")
    "${install[@]}" >/dev/null 2>&1 && return
    "${as_root[@]}" apt-get update >/dev/null && "${install[@]}" >/dev/null && return
    say "that failed: install ${packages[*]} (or a GPU's driver) to test on OpenCL"
    return 1
}

# use_driver NAME LIBRARY: looks at the one driver and no other, with programs of its own in the
# caches.
use_driver() {
    mkdir -p "$folder/vendors"
    echo "$2" >"$folder/vendors/$1.icd"
    export OCL_ICD_VENDORS=$folder/vendors
    LD_LIBRARY_PATH=$(dirname "$2")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
}

# Intel's runtime for CPUs, from pip.
use_intel() {
    local library
    if ! library=$(find "$folder" -name libintelocl.so 2>/dev/null | grep .); then
        say "fetching Intel's OpenCL runtime for CPUs into $folder"
        python3 -m pip install --quiet --ignore-installed --prefix "$folder" \
            intel-opencl-rt intel-cmplr-lib-rt
        library=$(find "$folder" -name libintelocl.so | grep .)
    fi
    use_driver intel "$library"
}

# Mesa's rusticl on llvmpipe, unpacked from Debian's packages; a device without f64. Its compiler
# looks for libclc in /usr/lib/clc.
use_rusticl() {
    local library=$folder/usr/lib/x86_64-linux-gnu/libRusticlOpenCL.so.1
    if ! [ -e "$library" ]; then
        say "fetching mesa-opencl-icd into $folder"
        mkdir -p "$folder"
        (cd "$folder" && apt-get download mesa-opencl-icd libllvmspirvlib15 libclc-15 >/dev/null &&
            for package in *.deb; do dpkg -x "$package" . && rm "$package"; done)
    fi
    if ! [ -e /usr/lib/clc/spirv64-mesa3d-.spv ] &&
        ! cp -n "$folder"/usr/lib/clc/spirv*.spv /usr/lib/clc/; then
        say "rusticl needs /usr/lib/clc/spirv64-mesa3d-.spv of Debian's libclc-15" && exit 1
    fi
    export RUSTICL_ENABLE=llvmpipe
    use_driver rusticl "$library"
}

if [ "${1:-}" = --mpi ]; then
    exec tests/mpi.sh
fi

if [ "${1:-}" = --opencl ]; then
    folder=$PWD/target/opencl-${2:-}
    case "${2:-}" in
    intel) use_intel ;;
    pocl-loops) export POCL_WORK_GROUP_METHOD=workitemloops ;;
    pocl-loopvec) export POCL_WORK_GROUP_METHOD=loopvec ;;
    pocl-small) export POCL_MAX_WORK_GROUP_SIZE=128 ;;
    rusticl) use_rusticl ;;
    *) say "--opencl takes: intel, pocl-loops, pocl-loopvec, pocl-small, rusticl" && exit 2 ;;
    esac
    # What one compiler made is not taken for another's.
    export POCL_CACHE_DIR=$folder/pocl-cache RUNG_OPENCL_CACHE=
    mkdir -p "$POCL_CACHE_DIR"
    shift 2
    export RUNG_REQUIRE_OPENCL=1
    if [ $# -eq 0 ]; then
        set -- --test parity --test gradients --test composites
        # It gives groups 32 work-items of most kernels, fewer than those cut for GPUs need, and
        # says so in a sentence.
        [ "$(basename "$folder")" != opencl-rusticl ] ||
            set -- --test parity every_primitive_of_every
    fi
    cargo test --package rung-tests --no-fail-fast "$@"
    exit
fi

# The end-to-end tests start the program itself.
cargo build --package rung
if [ "${RUNG_REQUIRE_OPENCL:-}" != 0 ]; then
    if has_opencl_device || { install_pocl && has_opencl_device; }; then
        export RUNG_REQUIRE_OPENCL=1
    elif [ "${RUNG_REQUIRE_OPENCL:-}" = 1 ]; then
        say "RUNG_REQUIRE_OPENCL is 1, but there is no OpenCL device" && exit 1
    fi
fi
cargo test --workspace --no-fail-fast "$@"
