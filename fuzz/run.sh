#!/usr/bin/env bash
# Fuzzes every format, or those named, and keeps a ledger of how often each was executed.
#
#     fuzz/run.sh MINUTES [NAME...]         for so many minutes each
#     fuzz/run.sh --until COUNT [NAME...]   in turns, until the ledger says COUNT executions of each
#     fuzz/run.sh --ledger                  the ledger as the table of docs/reliability.md
#
# libFuzzer, with the coverage instrumentation of LLVM, which the stable compiler has; where a
# nightly one is installed, RUNG_FUZZ_NIGHTLY=1 adds AddressSanitizer. A finding is a panic, an
# abort, more than 512 MB of memory or ten seconds for one input: it stops its format. Corpora,
# findings (artifacts/NAME), logs and the ledger lie in fuzz/ or in RUNG_FUZZ_FOLDER; the seeds are
# made by the project itself. A turn of --until takes RUNG_FUZZ_TURN seconds (300), so that a
# machine that goes down costs one turn. RUNG_FUZZ_PROGRAMS is a folder of programs that are built
# already.
set -euo pipefail
cd "$(dirname "$0")"
folder=${RUNG_FUZZ_FOLDER:-$PWD}
ledger=$folder/ledger.tsv

# What the ledger holds of each format: a line of a table.
table() {
    echo "| format | executions | memory at most | findings | turns | last |"
    echo "|---|---|---|---|---|---|"
    awk -F'\t' '
        { runs[$3] += $4; turns[$3]++; findings[$3] += $7; last[$3] = substr($1, 1, 10) }
        $5 > peak[$3] { peak[$3] = $5 }
        END {
            for (name in runs)
                printf "| `%s` | %d | %d MB | %d | %d | %s |\n", name, runs[name], peak[name],
                    findings[name], turns[name], last[name]
        }' "$ledger" | sort
}

# executions NAME: how often a format was executed, by the ledger.
executions() {
    awk -F'\t' -v name="$1" '$3 == name { sum += $4 } END { printf "%d\n", sum }' "$ledger"
}

until=0
case "${1:?how many minutes for each format, or --until COUNT, or --ledger}" in
--ledger)
    table
    exit
    ;;
--until)
    until=${2:?how many executions of each format}
    seconds=${RUNG_FUZZ_TURN:-300}
    shift 2
    ;;
*)
    seconds=$((60 * $1))
    shift
    ;;
esac
formats=("$@")
if [ ${#formats[@]} -eq 0 ]; then
    formats=(idx npy npz zip mat norb cifar tar picture)
    if [ -n "${RUNG_FUZZ_FEATURES-program}" ]; then
        formats+=(config preset checkpoint report)
    fi
fi

memory=512
if [ "${RUNG_FUZZ_NIGHTLY:-0}" = 1 ]; then
    memory=2048 # AddressSanitizer keeps a shadow of everything.
fi

# build FOLDER: the programs, as they are now, into FOLDER: what runs does not change with the next
# build.
build() {
    local host toolchain=() format
    host=$(rustc -vV | sed -n 's/^host: //p')
    export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
    if [ "${RUNG_FUZZ_NIGHTLY:-0}" = 1 ]; then
        toolchain=(+nightly)
        export RUSTFLAGS="$RUSTFLAGS -Zsanitizer=address"
    fi
    # RUNG_FUZZ_FEATURES="" builds the formats of data sets alone, in a third of the time.
    cargo "${toolchain[@]}" build --release --target "$host" --bins \
        --no-default-features --features "${RUNG_FUZZ_FEATURES-program}"
    for format in "${formats[@]}" seeds; do
        cp "${CARGO_TARGET_DIR:-target}/$host/release/$format" "$1"
    done
}

programs=${RUNG_FUZZ_PROGRAMS:-}
if [ -z "$programs" ]; then
    programs=$(mktemp -d)
    trap 'rm -rf "$programs"' EXIT
    build "$programs"
fi
commit=$(git describe --always --dirty --exclude '*')
mkdir -p "$folder/logs"
touch "$ledger"
RUNG_FUZZ_CORPUS=$folder/corpus "$programs/seeds" -runs=0 >/dev/null 2>&1

# turn NAME RUNS: one run of libFuzzer, RUNS executions at most (-1: any number), and its line in
# the ledger: date, commit, format, executions, MB, seconds, findings.
turn() {
    local format=$1 log=$folder/logs/$1.txt found=0 begin=$SECONDS count peak
    mkdir -p "$folder/corpus/$format" "$folder/artifacts/$format"
    # Long texts say nothing that short ones do not, and take longer.
    local longest=16384
    case $format in config | preset | report) longest=4096 ;; esac
    if ! "$programs/$format" "$folder/corpus/$format" \
        -artifact_prefix="$folder/artifacts/$format/" -runs="$2" -max_total_time="$seconds" \
        -rss_limit_mb=$memory -timeout=10 -max_len=$longest -print_final_stats=1 -verbosity=0 \
        >"$log" 2>&1; then
        found=1
        echo "$format: FOUND SOMETHING, see $log"
        tail -n 25 "$log"
    fi
    count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
    echo "$format: ${count:-?} executions, at most ${peak:-?} MB"
    printf '%s\t%s\t%s\t%d\t%d\t%d\t%d\n' "$(date -u +%FT%TZ)" "$commit" "$format" \
        "${count:-0}" "${peak:-0}" $((SECONDS - begin)) $found >>"$ledger"
    return $found
}

status=0
if [ "$until" -eq 0 ]; then
    for format in "${formats[@]}"; do
        turn "$format" -1 || status=1
    done
    exit $status
fi
while [ ${#formats[@]} -gt 0 ]; do
    left=()
    for format in "${formats[@]}"; do
        missing=$((until - $(executions "$format")))
        if [ $missing -le 0 ]; then
            echo "$format: $(executions "$format") executions in all"
        elif turn "$format" $missing; then
            left+=("$format")
        else
            status=1 # Its finding is to be mended first.
        fi
    done
    formats=(${left[@]+"${left[@]}"})
done
exit $status
