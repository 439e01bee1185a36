#!/usr/bin/env bash
# Fuzzes every format, or those named, for MINUTES each; then says how often each was executed.
#
#     fuzz/run.sh MINUTES [NAME...]
#
# libFuzzer, with the coverage instrumentation of LLVM, which the stable compiler has; where a
# nightly one is installed, RUNG_FUZZ_NIGHTLY=1 adds AddressSanitizer. A finding is a panic, an
# abort, more than 512 MB of memory or ten seconds for one input: it stops its format, and the input
# lies in fuzz/artifacts/NAME. Corpora grow in fuzz/corpus; the seeds are made by the project
# itself.
set -euo pipefail
cd "$(dirname "$0")"

minutes=${1:?how many minutes for each format}
shift
formats=("$@")
if [ ${#formats[@]} -eq 0 ]; then
    formats=(idx npy npz zip mat norb cifar tar picture)
    if [ -n "${RUNG_FUZZ_FEATURES-program}" ]; then
        formats+=(config preset checkpoint report)
    fi
fi

host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
toolchain=()
memory=512
if [ "${RUNG_FUZZ_NIGHTLY:-0}" = 1 ]; then
    toolchain=(+nightly)
    export RUSTFLAGS="$RUSTFLAGS -Zsanitizer=address"
    memory=2048 # AddressSanitizer keeps a shadow of everything.
fi
# RUNG_FUZZ_FEATURES="" builds the formats of data sets alone, in a third of the time.
cargo "${toolchain[@]}" build --release --target "$host" --bins \
    --no-default-features --features "${RUNG_FUZZ_FEATURES-program}"
programs=target/$host/release
RUNG_FUZZ_CORPUS=corpus "$programs/seeds" >/dev/null 2>&1

status=0
for format in "${formats[@]}"; do
    mkdir -p "corpus/$format" "artifacts/$format" logs
    log=logs/$format.txt
    if ! "$programs/$format" "corpus/$format" -artifact_prefix="artifacts/$format/" \
        -max_total_time=$((60 * minutes)) -rss_limit_mb=$memory -timeout=10 -max_len=16384 \
        -print_final_stats=1 -verbosity=0 >"$log" 2>&1; then
        status=1
        echo "$format: FOUND SOMETHING, see fuzz/$log"
        tail -n 25 "$log"
    fi
    count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
    echo "$format: ${count:-?} executions, at most ${peak:-?} MB"
done
exit $status
