#!/usr/bin/env bash
# Runs the parity cases on small shapes in Oclgrind, which interprets kernels and reports invalid
# memory accesses, data races and uninitialised reads. Fails if it reports one.
#
#   tests/oclgrind.sh                            arrays of up to 70 elements: some minutes
#   RUNG_PARITY_LARGEST=2000 tests/oclgrind.sh   larger ones
#
# Needs Oclgrind's library (Debian package: oclgrind), which has the functions of OpenCL itself.
set -euo pipefail
cd "$(dirname "$0")/.."

library=$(find /usr/lib /usr/local/lib -name liboclgrind-rt.so 2>/dev/null | head -n 1)
if [ -z "$library" ]; then
    echo "tests/oclgrind.sh: install the package oclgrind" >&2
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Its interpreter lacks instructions that its compiler's optimiser makes, and what inlining makes of
# pointers that are restrict. Our cache is left out: each kernel is compiled for it.
export OCLGRIND_LOG=$log OCLGRIND_DATA_RACES=1
export OCLGRIND_BUILD_OPTIONS='-cl-opt-disable -Drestrict='
# It counts the local memory of all kernels of a file as that of each.
export OCLGRIND_LOCAL_MEM_SIZE=40960
export RUNG_OPENCL_LIBRARY=$library RUNG_OPENCL_CACHE='' RUNG_REQUIRE_OPENCL=1
export RUNG_PARITY_LARGEST=${RUNG_PARITY_LARGEST:-70}

# check VALUE TEST: runs one test with the check for uninitialised reads on (1) or off (0). As part
# of the whole workspace it is built already where the tests have run.
check() {
    rm -f "$log"
    OCLGRIND_UNINITIALIZED=$1 cargo test --workspace --test parity -- "$2"
    if [ -s "$log" ]; then
        head -n 60 "$log" >&2
        echo "tests/oclgrind.sh: Oclgrind reported the above, in $2" >&2
        exit 1
    fi
}
# It takes halves of vectors of sixteen for uninitialised whatever is in them (v.lo of a freshly
# loaded v), so that check is for the kernels of GPUs alone, which have the same arithmetic and no
# vectors.
check 0 every_primitive_of_every_opencl_device_agrees
check 1 kernels_cut_for_gpus_agree
echo "Oclgrind reported nothing"
