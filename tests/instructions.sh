#!/bin/sh
# Counts the instructions of the hot paths under valgrind and compares them with
# tests/instructions.tsv.
#
#   tests/instructions.sh            fails if a count has risen by more than 5 %
#   tests/instructions.sh --update   writes the counts down as the new measure
#
# Takes some minutes. Instructions are not time, but unlike time they don't depend on the machine's
# load: a pass too many over a tensor shows.
# Valgrind knows AVX2 at most, so the counts are those of the AVX2 kernels on every x86-64 CPU that
# has it.
set -eu
cd "$(dirname "$0")/.."
measure=tests/instructions.tsv
allowed_percent=5

if ! command -v valgrind >/dev/null; then
    echo "instructions.sh: valgrind is needed (Debian: apt-get install valgrind)" >&2
    exit 1
fi
cargo build --release --package rung
rung="${CARGO_TARGET_DIR:-target}/release/rung"

# Instructions of a run of `rung bench serve` that is asked for $1 repetitions; the rest are its
# arguments.
count() {
    repetitions=$1
    shift
    echo "$repetitions" |
        valgrind --tool=callgrind --callgrind-out-file=/dev/null \
            "$rung" bench serve --threads 1 "$@" 2>&1 >/dev/null |
        sed -n 's/.*Collected : *//p'
}

counts=$(mktemp)
one=$(mktemp)
trap 'rm -f "$counts" "$one"' EXIT
# One repetition: what three cost more than one, so that the start and the warm-up cancel.
line() {
    title=$1
    shift
    count 1 "$@" >"$one" &
    three=$(count 3 "$@")
    wait
    printf '%s\t%s\n' "$title" $(((three - $(cat "$one")) / 2))
}
{
    line 'training step of mnist-ladder-5, batch 32' --preset mnist-ladder-5 --batch-size 32
    line 'training step of mnist-vae-5, batch 32' --preset mnist-vae-5 --batch-size 32
    line 'evaluation of mnist-ladder-5, 200 samples' \
        --preset mnist-ladder-5 --importance-samples 200
} >"$counts"

if [ "${1:-}" = --update ]; then
    cp "$counts" "$measure"
    cat "$measure"
    exit
fi
awk -F '\t' -v allowed="$allowed_percent" '
    NR == FNR { written[$1] = $2; next }
    !($1 in written) { print $1 " is not in " ARGV[1] ": --update writes it down"; worse = 1; next }
    {
        percent = 100 * ($2 / written[$1] - 1)
        printf "%-45s %14d instructions, %+.1f %%\n", $1, $2, percent
        if (percent > allowed) worse = 1
    }
    END {
        if (worse) print "missing, or more than " allowed " % above " ARGV[1]
        exit worse
    }' "$measure" "$counts"
