#!/usr/bin/env bash
# Everything that is worth measuring on a machine with a GPU, in about ten minutes, so that none of
# them is spent on thinking.
#
#   tests/gpu-run-sheet.sh                      on opencl:0, with target/release/rung
#   tests/gpu-run-sheet.sh --rung PATH --device opencl:1 --out FOLDER
#   RUNG_REAL_DATA=DIR tests/gpu-run-sheet.sh   trains on the MNIST in DIR, else on glyphs
#   tests/gpu-run-sheet.sh --minutes 2          shorter: what takes longer is cut off, and marked
#
# Needs the driver's OpenCL and the built program. With python3 and PyTorch it also measures cuBLAS
# at the same shapes, and the ladder's step in PyTorch, eager and as a CUDA graph. Writes
# FOLDER/run-sheet.json (commands, output, seconds, exit codes) and FOLDER/run-sheet.md. A step that
# fails or is cut off does not stop the others; the last line says how many did. Four tenths of the
# time are kept for the training and its bound, whatever comes before takes.
set -uo pipefail
cd "$(dirname "$0")/.."

rung=target/release/rung device=opencl:0 out=gpu-run-sheet minutes=10 data=${RUNG_REAL_DATA:-}
while [ $# -gt 0 ]; do
    case "$1" in
    --rung) rung=$2 ;;
    --device) device=$2 ;;
    --out) out=$2 ;;
    --minutes) minutes=$2 ;;
    *) sed -n '2,15s/^# \{0,1\}//p' "$0" && exit 2 ;;
    esac
    shift 2
done
mkdir -p "$out"
json=$out/run-sheet.json table=$out/run-sheet.md
# When the steps before the training must end, and when all must.
end=$((SECONDS + 36 * minutes)) all=$((SECONDS + 60 * minutes))
failed=0 first=1

# Standard input as what stands between the quotes of a string of JSON.
text() {
    sed 's/\\/\\\\/g; s/"/\\"/g; s/\t/\\t/g' | tr -d '\r\000-\010' |
        awk '{printf "%s%s", (NR > 1 ? "\\n" : ""), $0}'
}

# The numbers of a step that the table shows: those keys of its lines of JSON.
keys='gflop_per_s|gb_per_s|step_ms_median|kernel_launches|image_samples_per_s|bound_nats'
keys="$keys|replayed_launches|recording_ms|shape|what"
numbers() {
    grep -oE "\"($keys)\":(\"[^\"]*\"|[-0-9.e+]+)" "$1" | tr -d '"' |
        awk '{printf "%s%s", (NR > 1 ? ", " : ""), $0}' | cut -c1-600
}

# step NAME SECONDS COMMAND...: runs it for so long at most, of what is left.
step() {
    local name=$1 limit=$2 began=$SECONDS code
    shift 2
    local left=$((end - SECONDS))
    [ "$limit" -le "$left" ] || limit=$left
    printf '%s: %s\n' "$name" "$*" >&2
    if [ "$limit" -le 0 ]; then
        : >"$out/last" && code=124
    else
        timeout -k 5 "$limit" "$@" >"$out/last" 2>"$out/last.err"
        code=$?
    fi
    local took=$((SECONDS - began)) said=done
    if [ $code -ne 0 ]; then
        failed=$((failed + 1)) said="exit $code"
        # What does not end when it is told to is killed.
        [ $code -ne 124 ] && [ $code -ne 137 ] || said='cut off'
    fi
    [ $first -eq 1 ] || echo ',' >>"$json"
    first=0
    printf '{"step":"%s","command":"%s","seconds":%d,"exit":%d,"output":"%s","messages":"%s"}' \
        "$name" "$(echo "$*" | text)" "$took" "$code" "$(text <"$out/last")" \
        "$(tail -n 20 "$out/last.err" 2>/dev/null | text)" >>"$json"
    echo "| $name | $said | $took | $(numbers "$out/last") |" >>"$table"
}

echo '[' >"$json"
{
    echo "# Run sheet of $device"
    echo
    "$rung" --quiet devices --json 2>/dev/null | grep "\"name\":\"$device\"" | sed 's/.*/`&`/'
    nvidia-smi --query-gpu=name,driver_version,power.limit,clocks.max.sm \
        --format=csv,noheader 2>/dev/null || true
    echo
    echo '| step | how it ended | seconds | numbers |'
    echo '|---|---|---|---|'
} >"$table"

step 'parity of every operation' 120 "$rung" devices --check --device "$device"
step 'large product and memory' 60 "$rung" devices --measure --json --device "$device"
step 'products and passes of the sizes of the ladder' 60 \
    "$rung" bench kernels --json --device "$device"
step 'ladder, a step' 60 "$rung" bench step --json --device "$device"
step 'ladder, a step of 4096 images' 60 \
    "$rung" bench step --json --batch-size 4096 --device "$device"
step 'ladder, where the time goes' 60 "$rung" bench step --profile --device "$device"
step 'ladder, evaluation' 60 "$rung" bench evaluate --json --device "$device"
step 'BIVA, a step' 60 "$rung" bench step --json --preset biva-mnist-small --device "$device"
step 'search for the fastest products' 120 "$rung" devices --tune --device "$device"
step 'ladder, a step after the search' 60 "$rung" bench step --json --device "$device"
if timeout -k 5 60 python3 -c 'import torch' 2>/dev/null; then
    step 'PyTorch' 120 python3 tests/gpu_torch.py
else
    echo '| PyTorch | not to be had | 0 | |' >>"$table"
fi
if [ -n "$data" ]; then
    source=(--preset mnist-ladder-5 --data-dir "$data")
else
    source=(--preset glyphs-ladder-5)
fi
end=$all
# It ends by itself, with a checkpoint, in time for the last step.
training=$(((end - SECONDS) * 2 / 3))
step 'training of 200 epochs' $((end - SECONDS)) \
    "$rung" train "${source[@]}" --epochs 200 --for "${training}s" \
    --device "$device" --out "$out/run"
step 'its bound with 5000 samples' 120 \
    "$rung" evaluate "$out/run" --importance-samples 5000 --count 1000 --json --device "$device"
echo ']' >>"$json"
rm -f "$out/last" "$out/last.err"
cat "$table"
echo "$failed steps failed or were cut off; $json has all that was said"
[ "$failed" -eq 0 ]
