#!/usr/bin/env bash
# The zoo's eight PP-LCNet scales and PP-HGNet_tiny on all six engines of this machine, in one run, in turns:
# about twenty minutes on two quiet cores, after the export.
#
#     scripts/bench_engines_table.sh DIR        the models and table.json go there; the table to stdout
#     NETWORKS="PPLCNet_x0_25" scripts/…        fewer networks
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
edgekit=$root/.venv/bin/edgekit
place=${1:?usage: scripts/bench_engines_table.sh DIR}
networks=${NETWORKS:-PPLCNet_x0_25 PPLCNet_x0_35 PPLCNet_x0_5 PPLCNet_x0_75 PPLCNet_x1_0 PPLCNet_x1_5 PPLCNet_x2_0 PPLCNet_x2_5 PPHGNet_tiny}

mkdir -p "$place"
cd "$place"
# shellcheck disable=SC2086  # a word for each network
"$edgekit" export $networks --weights random --formats paddle,onnx,nb,mnn,ncnn --nb-targets x86 >&2
# shellcheck disable=SC2086
"$edgekit" bench $networks --host --engine paddle,onnxruntime,openvino,paddlelite,mnn,ncnn --threads 1,2 \
    --processes 3 --warmup 5 --repeats 22 --min-secs 0.5 --max-secs 8 -o table.json >&2
"$edgekit" report table.json
