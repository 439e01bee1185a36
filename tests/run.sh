#!/usr/bin/env bash
# Runs all tests: unit tests, examples and documentation examples of every package, gradient, parity
# and end-to-end tests.
#
#   tests/run.sh                         everything, a few minutes on two cores
#   tests/run.sh --opencl intel          parity and gradients on Intel's OpenCL runtime for CPUs, which it fetches
#   RUNG_TEST_CASES=20 tests/run.sh      the long variant: that many times as many random cases
#   RUNG_TEST_SEED=7 tests/run.sh        with a given seed instead of fresh ones, which are printed
#   RUNG_REAL_DATA=DIR tests/run.sh      also the tests on real data sets in DIR (mnist, omniglot-rebuilt, …)
#   RUNG_REQUIRE_OPENCL=0 tests/run.sh   without an OpenCL device, and without installing one
#
# Needs Rust. The tests on OpenCL need a device of it: where there is none, PoCL, which computes on
# the CPU, is
# installed with apt (with sudo if need be). Where that can't be done it says what to install, and
# tests without.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "tests/run.sh: $*" >&2; }

has_opencl_device() { cargo run --quiet --package rung -- --quiet devices --json | grep '"name":"opencl:' >/dev/null; }

# Installs the OpenCL loader and PoCL, or says how to.
install_pocl() {
    local packages=(ocl-icd-libopencl1 pocl-opencl-icd) as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        # Without a terminal nobody can answer sudo's question.
        as_root=(sudo)
        [ -t 0 ] || as_root+=(-n)
    fi
    if ! command -v apt-get >/dev/null || { [ "${#as_root[@]}" -gt 0 ] && ! command -v sudo >/dev/null; }; then
        say "no OpenCL device, and no way to install one here: install ${packages[*]} (or a GPU's driver)"
        return 1
    fi
    say "no OpenCL device: installing ${packages[*]}"
    local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)
    "${install[@]}" "${packages[@]}" >/dev/null 2>&1 && return
    "${as_root[@]}" apt-get update >/dev/null && "${install[@]}" "${packages[@]}" >/dev/null && return
    say "that failed: install ${packages[*]} (or a GPU's driver) to test on OpenCL"
    return 1
}

# Intel's runtime in a folder of its own; no other driver is looked at.
use_intel() {
    local folder=$PWD/target/opencl-intel driver
    if ! driver=$(find "$folder" -name libintelocl.so 2>/dev/null | grep .); then
        say "fetching Intel's OpenCL runtime for CPUs into $folder"
        python3 -m pip install --quiet --ignore-installed --prefix "$folder" intel-opencl-rt intel-cmplr-lib-rt
        driver=$(find "$folder" -name libintelocl.so | grep .)
    fi
    mkdir -p "$folder/vendors"
    echo "$driver" >"$folder/vendors/intel.icd"
    export OCL_ICD_VENDORS=$folder/vendors
    LD_LIBRARY_PATH=$(dirname "$driver")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
}

if [ "${1:-}" = --opencl ]; then
    case "${2:-}" in
    intel) use_intel ;;
    *) say "--opencl takes: intel" && exit 2 ;;
    esac
    shift 2
    export RUNG_REQUIRE_OPENCL=1
    cargo test --package rung-tests --no-fail-fast --test parity --test gradients --test composites "$@"
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
