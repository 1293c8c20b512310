#!/usr/bin/env bash
# The evidence of docs/replication.md and docs/reward.md, larger, on one GPU in at most eight minutes, without network.
# Needs torch, transformers, accelerate and gguf; what else is missing is installed from wheels (WHEELS, a folder) where
# there is one. The model's weights come as pieces of less than 60 MB each:
#
#   python benchmarks/weights.py split PIECES              where the bundled model is installed
#   PIECES=folder OUT=folder benchmarks/proof_gpu.sh       on a GPU
#   SIZE=tiny benchmarks/proof_gpu.sh                      whether it runs, anywhere, with a random model
#
# The same command goes on where it stopped. Prepared, and so far run with SIZE=tiny on a CPU alone: no number of it
# stands in the docs yet.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${WHEELS:-}" ]; then
  python -m pip install --quiet --no-index --find-links "$WHEELS" gguf polars pydantic pyyaml click openai
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
out="${OUT:-runs/proof}"
mkdir -p "$out"
export MODEL="${MODEL:-/tmp/sso-factory-proof-model}" DEVICE=cuda SIZE="${SIZE:-full}"
if [ "$SIZE" = tiny ]; then
  MODEL="$(mktemp -d)/tiny" DEVICE=cpu
  python -c "import sys; from pathlib import Path; from tests.tiny import tiny_model_folder; tiny_model_folder(Path(sys.argv[1]))" "$MODEL"
elif [ ! -d "$MODEL" ]; then
  python benchmarks/weights.py join "${PIECES:?the folder that benchmarks/weights.py split filled}" "$MODEL"
fi
# What is cut off by its time is finished by the next call: a cell, a method with a seed, is a file.
mechanism() { # seconds, folder, then options
  local seconds=$1 folder=$2
  shift 2
  timeout "$seconds" python benchmarks/mechanism.py --out "$out/$folder" --model "$MODEL" --device "$DEVICE" "$@" ||
    [ $? = 124 ] || exit 1
}
if [ "$SIZE" = tiny ]; then
  mechanism 300 one --pairs 2 --batch-pairs 1 --held-out 3 --prompts 2 --tokens 8 --replies 2 --behaviour-prompts 3 \
    --seeds 1 --pool-seeds 1
  mechanism 300 three --pairs 2 --batch-pairs 1 --held-out 3 --prompts 2 --tokens 8 --iterations 3 --arms sso pbaa \
    --seeds 1 --pool-seeds 1
else
  mechanism 120 one --pairs 64 --batch-pairs 16 --held-out 200 --prompts 64 --tokens 128 --replies 8
  mechanism 150 three --pairs 512 --batch-pairs 32 --held-out 200 --prompts 64 --tokens 200 --iterations 3 \
    --arms sso sso_no_w sso_no_g pbaa --seeds 1 2 3 --pool-seeds 3
fi
if [ -f benchmarks/proof_gpu_reward.sh ]; then
  OUT="$out/reward" timeout 180 bash benchmarks/proof_gpu_reward.sh
fi
