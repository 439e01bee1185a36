#!/usr/bin/env bash
# Runs the parity cases on small shapes in Oclgrind, which interprets kernels and reports invalid memory accesses, data races and
# uninitialised reads. Fails if it reports one.
#
#   tests/oclgrind.sh                          arrays of up to 300 elements: some minutes
#   RUNG_PARITY_LARGEST=2000 tests/oclgrind.sh larger ones
#
# Needs the library liboclgrind-rt (Debian package: oclgrind).
set -euo pipefail
cd "$(dirname "$0")/.."

library=$(ldconfig -p | awk '/liboclgrind-rt.so/ {print $NF; exit}')
library=${library:-$(find /usr/lib -name 'liboclgrind-rt.so*' 2>/dev/null | head -n 1)}
if [ -z "$library" ]; then
    echo "tests/oclgrind.sh: install the package oclgrind" >&2
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Its library has the functions of OpenCL itself. Our cache is left out, so that every kernel is compiled by it.
export RUNG_OPENCL_LIBRARY=$library RUNG_OPENCL_CACHE='' RUNG_REQUIRE_OPENCL=1
export OCLGRIND_LOG=$log OCLGRIND_DATA_RACES=1 OCLGRIND_UNINITIALIZED=1
export RUNG_PARITY_LARGEST=${RUNG_PARITY_LARGEST:-300} RUNG_TEST_SEED=${RUNG_TEST_SEED:-1}
cargo test --package rung-tests --test parity -- agree opencl graphics --skip same_bits --test-threads 1
if [ -s "$log" ]; then
    head -n 60 "$log" >&2
    echo "tests/oclgrind.sh: Oclgrind reported the above" >&2
    exit 1
fi
echo "Oclgrind reported nothing"
