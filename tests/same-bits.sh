#!/usr/bin/env bash
# Trains short seeded runs of every kind with two builds of the program and compares what they
# leave: the metrics, but for times,
# and the checkpoints, tensor by tensor and bit by bit. For a change that must not change a number.
#
#   tests/same-bits.sh OLD NEW [FOLDER]     two binaries; the runs stay in FOLDER if one is given
#
# Everything runs on the built-in glyphs on the CPU with two threads. Needs python3, without
# packages.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
old=$(realpath "$1") new=$(realpath "$2")
if [ $# -ge 3 ]; then
    mkdir -p "$3" && folder=$(realpath "$3")
else
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi

# Name of the run, then its arguments.
runs=(
    "glyphs-ladder-5 --preset glyphs-ladder-5 --epochs 3"
    "mnist-vae-bn-wu-2 --preset mnist-vae-bn-wu-2 --epochs 3"
    "mnist-lvae-3 --preset mnist-lvae-3 --epochs 3"
    "biva-mnist-dense --preset biva-mnist-dense --epochs 2"
    "biva-mnist-small --preset biva-mnist-small --epochs 1 --set data.train_images=192"
    "biva-mnist-dense-labels --preset biva-mnist-dense --labels 100 --epochs 2"
)
common=(--dataset glyphs --threads 2 --set data.train_images=1024 --set data.test_images=200)

train() { # train BINARY FOLDER ARGUMENTS…
    local binary=$1 out=$2
    shift 2
    "$binary" --quiet train "${common[@]}" "$@" --out "$out" >"$out.log" 2>&1 ||
        { cat "$out.log" >&2 && return 1; }
}

failed=0
for run in "${runs[@]}"; do
    read -r name arguments <<<"$run"
    # shellcheck disable=SC2086 # the arguments are words
    train "$old" "$folder/$name-old" $arguments
    # shellcheck disable=SC2086
    train "$new" "$folder/$name-new" $arguments
    python3 "$(dirname "$0")/same_bits.py" "$folder/$name-old" "$folder/$name-new" || failed=1
done
exit $failed
