#!/usr/bin/env bash
# Runs code that is unsafe, and threads that share memory, under tools that see what a compiler
# does not.
#
#     tests/sanitizers.sh miri       buffers and their pool, allocations that may fail, sums over
#                                    ranks: an interpreter that knows every rule of memory; nothing
#                                    that computes, which would take it hours, no vector units, no
#                                    OpenCL
#     tests/sanitizers.sh address    all kernels of the CPU, vector units included: reads and
#                                    writes out of bounds and after release
#     tests/sanitizers.sh thread     the same: races between threads
#
# Needs a nightly compiler with the components miri and rust-src (rustup +nightly component add miri
# rust-src). What is built lies in RUNG_SANITIZER_FOLDER (target/sanitizers), some gigabytes, which
# may be deleted afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=${1:?which of miri, address, thread}
export CARGO_TARGET_DIR=${RUNG_SANITIZER_FOLDER:-target/sanitizers}/$tool
export RUNG_REQUIRE_OPENCL=0
host=$(rustc -vV | sed -n 's/^host: //p')

case $tool in
miri)
    # Rayon's threads outlive a test, and its queues make pointers of numbers. A sum of megabytes
    # takes an interpreter too long.
    export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-permissive-provenance \
-Zmiri-tree-borrows"
    cargo +nightly miri test -p rung-ranks --lib -- --skip several_pieces
    cargo +nightly miri test -p rung-kernels --lib -- attempt:: buffer::
    ;;
address)
    export RUSTFLAGS="-Zsanitizer=address"
    # Rust's threads have signal stacks of their own, which the sanitizer would release twice.
    export ASAN_OPTIONS=use_sigaltstack=0:detect_leaks=0
    cargo +nightly test --target "$host" -p rung-kernels -p rung-ranks --lib
    ;;
thread)
    # The standard library too must tell the sanitizer what it does.
    export RUSTFLAGS="-Zsanitizer=thread"
    cargo +nightly test -Zbuild-std --target "$host" -p rung-kernels -p rung-ranks --lib
    ;;
*) echo "tests/sanitizers.sh takes: miri, address, thread" >&2 && exit 2 ;;
esac
