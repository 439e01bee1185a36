#!/usr/bin/env bash
# Ranks as processes of MPI on this machine: training on 2 and 4 ranks, the same bytes when
# repeated, and on 1, 2 and 4 ranks with logical ones; kills of a random rank, resumption with
# another number of ranks, errors, images that evaluate, encode and anomaly share.
#
#   tests/mpi.sh          with the MPI that is installed (mpicc, mpirun), or Debian's openmpi-bin
#   KILLS=20 tests/mpi.sh kills a random rank that many times (2)
#
# It builds the program with the feature mpi in a target folder of its own (MPI_TARGET=DIR for
# another).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "tests/mpi.sh: $*" >&2; }
fail() { say "FAILED: $*" && exit 1; }

if ! command -v mpirun >/dev/null || ! command -v mpicc >/dev/null; then
    packages=(openmpi-bin libopenmpi-dev libclang-dev)
    say "no MPI: installing ${packages[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" \
        >/dev/null
fi
target=${MPI_TARGET:-target/mpi}
cargo build --package rung --features mpi --target-dir "$target"
rung=$(realpath "$target")/debug/rung
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Open MPI refuses to run as root, and more ranks than cores, unless told so.
launch=(mpirun)
if mpirun --version | grep -q 'Open MPI'; then
    launch+=(--allow-run-as-root --oversubscribe --bind-to none)
fi
on() { local n=$1 && shift && "${launch[@]}" -n "$n" "$rung" --quiet "$@"; }
few=(train --threads 1 --set data.train_images=1280 --set data.test_images=100 --batch-size 64
    --set train.evaluate_every_epochs=8 --set train.checkpoint_every_epochs=1)
train=("${few[@]}" --epochs 8 --set 'model.latent_sizes=[8,4]' --set 'model.hidden_sizes=[32,16]')
ranks_below() {
    local child
    pgrep -P "$1" -x rung || true
    for child in $(pgrep -P "$1" || true); do ranks_below "$child"; done
}
last() { echo "$work/$1/checkpoints/last.safetensors"; }

seed=${RUNG_TEST_SEED:-$RANDOM}
RANDOM=$seed
say "seed $seed"
passed=0 kills=0
for n in 2 4; do
    on "$n" "${train[@]}" --out "$work/whole-$n" >/dev/null
    on "$n" "${train[@]}" --out "$work/again-$n" >/dev/null
    cmp "$(last "whole-$n")" "$(last "again-$n")" || fail "$n ranks do not repeat their bytes"
    passed=$((passed + 1))
done

by_rank=("${train[@]}" --set train.batch_norm_statistics=rank)
on 2 "${by_rank[@]}" --out "$work/whole-by-rank" >/dev/null
if cmp -s "$(last whole-by-rank)" "$(last whole-2)"; then
    fail "statistics of each rank change nothing"
fi

for kill in $(seq "${KILLS:-2}"); do
    run=$work/killed-$kill
    # In turn with the statistics of each rank's own.
    whole=whole-2 begin=("${train[@]}")
    if ((kill % 2 == 0)); then whole=whole-by-rank begin=("${by_rank[@]}"); fi
    on 2 "${begin[@]}" --out "$run" >/dev/null 2>&1 &
    launcher=$!
    while ! [ -e "$(last "killed-$kill")" ] && kill -0 $launcher 2>/dev/null; do sleep 0.05; done
    sleep "0.$((RANDOM % 4))"
    # The launcher's ranks, or those of its proxies; none where all is done.
    mapfile -t ranks < <(ranks_below "$launcher")
    if [ "${#ranks[@]}" -gt 0 ] && kill -9 "${ranks[RANDOM % ${#ranks[@]}]}" 2>/dev/null; then
        kills=$((kills + 1))
    fi
    wait $launcher || true
    on 2 train --resume "$run" >/dev/null
    cmp "$(last $whole)" "$(last "killed-$kill")" ||
        fail "kill $kill: a resumed run has other bytes"
    passed=$((passed + 1))
done

say "$kills ranks killed"
[ "$kills" -gt 0 ] || fail "no rank was killed in time"

on 4 train --resume "$work/whole-2" --epochs 9 >/dev/null ||
    fail "a run of 2 ranks does not go on with 4"
"$rung" --quiet train --resume "$work/whole-2" --epochs 10 >/dev/null || fail "nor with one"
passed=$((passed + 1))

score() { tee -a "$work/log" | grep -oE '"bound_k_nats":[-0-9.]+' | cut -d: -f2; }
evaluate=(evaluate "$work/whole-4" --importance-samples 20 --threads 1 --json)
one=$("$rung" --quiet "${evaluate[@]}" | score)
four=$(on 4 "${evaluate[@]}" | score)
[ -n "$one" ] || fail "no bound in: $(cat "$work/log")"
awk -v a="$one" -v b="$four" 'BEGIN { exit !(a - b < 1e-6 && b - a < 1e-6) }' ||
    fail "L_20 is $one on one rank, $four on four"
passed=$((passed + 1))

# What is found of each image has the same bytes.
for command in encode anomaly; do
    each=("$command" "$work/whole-4" --threads 1 --count 90)
    "$rung" --quiet "${each[@]}" --out "$work/one.csv" >/dev/null
    on 4 "${each[@]}" --out "$work/four.csv" >/dev/null
    [ "$(wc -l <"$work/one.csv")" -gt 90 ] || fail "$command wrote too few lines"
    cmp "$work/one.csv" "$work/four.csv" || fail "$command on 4 ranks is not that of one"
    passed=$((passed + 1))
done

logical=("${few[@]}" --epochs 2 --set train.logical_ranks=4 --set model.family=sdgm
    --set objective.labels=20)
"$rung" --quiet "${logical[@]}" --out "$work/logical-1" >/dev/null
for n in 2 4; do
    on "$n" "${logical[@]}" --out "$work/logical-$n" >/dev/null
    cmp "$(last logical-1)" "$(last "logical-$n")" ||
        fail "4 logical ranks on $n ranks are not those on one"
    passed=$((passed + 1))
done

code=0
on 2 train --set train.logical_ranks=3 --out "$work/refused" >"$work/log" 2>&1 || code=$?
[ $code -eq 1 ] || fail "what ranks can't share ends with $code, not 1"
[ "$(grep -c 'error:' "$work/log")" -eq 1 ] || fail "not one message: $(cat "$work/log")"
passed=$((passed + 1))
echo "$passed passed, 0 failed"
