#!/usr/bin/env bash
# The evidence of docs/replication.md and docs/reward.md, larger, on one GPU in at most eight minutes, without network.
# Needs torch, transformers, accelerate and gguf; what else is missing is installed from wheels (WHEELS, a folder) where
# there is one. The model's weights come as pieces of less than 60 MB each:
#
#   python benchmarks/weights.py split PIECES              where the bundled model is installed
#   PIECES=folder DATA=folder OUT=folder benchmarks/proof_gpu.sh       on a GPU
#   SIZE=tiny benchmarks/proof_gpu.sh                      whether it runs, anywhere, with a random model
#
# DATA has what benchmarks/proof_gpu_reward.sh reads; without it that part is left out. First benchmarks/smoke.py says
# whether generation and training run at all; where they do not, its error is the last that is printed. A model of this
# size leaves a GPU idle most of the time, so that several processes share it: WORKERS, by default one for each 12 GB
# and at most 10, and REWARD_WORKERS. After SECONDS_ALL seconds everything is ended; what is there is packed into
# OUT/cells.tar.gz, and the same command goes on where it stopped. What came of its one run is in the two pages.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
if [ -n "${WHEELS:-}" ]; then
  python -m pip install --quiet --no-index --find-links "$WHEELS" gguf polars pydantic pyyaml click
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=1
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
export MODEL="${MODEL:-/tmp/sso-factory-proof-model}" DEVICE=cuda SIZE="${SIZE:-full}" OUT="${OUT:-runs/proof}"
memory="$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits 2> /dev/null | head -n 1 | tr -cd 0-9 || true)"
fit=$((${memory:-0} / 12000))
seconds="${SECONDS_ALL:-460}" workers="${WORKERS:-$((fit < 1 || fit > 10 ? 10 : fit))}"
mkdir -p "$OUT"
touch "$OUT/log"
if [ "$SIZE" = tiny ]; then DEVICE="${TINY_DEVICE:-cpu}"; fi
timeout "${SMOKE_SECONDS:-120}" python benchmarks/smoke.py --device "$DEVICE" 2>&1 | tee -a "$OUT/log" || {
  echo "smoke: failed, or not done in ${SMOKE_SECONDS:-120} seconds; nothing else was tried"
  exit 1
}
if [ "$SIZE" = tiny ]; then
  MODEL="$OUT/tiny" workers=2
  [ -d "$MODEL" ] ||
    python -c "import sys; from pathlib import Path; from tests.tiny import tiny_model_folder; tiny_model_folder(Path(sys.argv[1]))" "$MODEL"
  plan=(--pairs 2 --batch-pairs 1 --held-out 3 --prompts 2 --tokens 8 --iterations 2 --replies 2 --behaviour-prompts 3
    --pool-seeds 2)
  seeds=(1 2)
else
  [ -d "$MODEL" ] ||
    python benchmarks/weights.py join "${PIECES:?the folder that benchmarks/weights.py split filled}" "$MODEL"
  plan=(--pairs 128 --batch-pairs 16 --held-out 200 --prompts 64 --tokens 48 --iterations 3 --replies 8 --pool-seeds 8)
  seeds=(1 2 3 4 5 6 7 8)
fi
pack() {
  (cd "$OUT" && find . '(' -path './mechanism/*cells/*.json' -o -path './reward/*' -o -name log ')' -type f -print0 |
    tar czf cells.tar.gz --null -T -)
}
started() { # by process $1: timeout gives each command a group of its own, which no Ctrl-C reaches
  local child
  for child in $(pgrep -P "$1"); do
    echo "$child"
    started "$child"
  done
}
# Parents first, which would try their command again.
trap 'kill $(started $$) 2> /dev/null || true; pack' EXIT
trap 'exit 143' INT TERM HUP
mechanism() { # until the time is over
  local left=$((seconds - SECONDS + began))
  [ "$left" -gt 1 ] || return 124
  timeout "$left" python benchmarks/mechanism.py --out "$OUT/mechanism" --model "$MODEL" --device "$DEVICE" \
    --learning-rate 5e-6 "${plan[@]}" "$@" 2>> "$OUT/log"
}
together() { # the same command in several processes, each of which is tried twice
  local jobs=() job
  for _ in $(seq "$workers"); do
    { mechanism "$@" || mechanism "$@"; } &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do
    wait "$job" || [ $? = 124 ] || failed=1
  done
}
failed=0
if [ -n "${DATA:-}" ]; then
  OUT="$OUT/reward" SECONDS_LEFT=$((seconds - SECONDS + began)) WORKERS="${REWARD_WORKERS:-4}" \
    bash benchmarks/proof_gpu_reward.sh &
  reward=$!
fi
together --arms sso sso_no_w sso_no_g pbaa --seeds "${seeds[@]}"
together --arms gamma_1 gamma_5 no_w_gamma_1 no_w_gamma_5 naive --seeds "${seeds[@]}"
if [ -n "${DATA:-}" ]; then
  wait "$reward" || [ $? = 124 ] || failed=1
fi
tail -n 40 "$OUT/log"
exit $failed
