#!/usr/bin/env bash
# The experiment of docs/reward.md with all weights trained, by WORKERS processes on one GPU. From benchmarks/proof_gpu.sh,
# or by itself:
#
#   MODEL=folder DEVICE=cuda DATA=folder OUT=folder SECONDS_LEFT=170 benchmarks/proof_gpu_reward.sh
#   MODEL=folder DEVICE=cpu SIZE=tiny OUT=folder benchmarks/proof_gpu_reward.sh      a tiny model; without DATA, made-up pairs
#
# DATA has human.jsonl.gz, llmbar.parquet, gsm8k.parquet and synthetic pairs S-*.parquet, E.parquet, B.parquet, D.parquet.
# OUT gets three files: cells.jsonl, a line for each cell from the moment that it is made, choice.jsonl and log. What was
# cut off goes on with the next call, where it finds the first two in OUT or in DATA.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
end=$((SECONDS + ${SECONDS_LEFT:-170})) workers=${WORKERS:-6}
mkdir -p "$OUT"
touch "$OUT/log"
trap '[ $? = 0 ] || tail -n 20 "$OUT/log" >&2' EXIT
data="${DATA:-}"
if [ -z "$data" ] && [ "${SIZE:-full}" = tiny ]; then
  data="$(mktemp -d)"
  python - "$data" <<'PY'
import sys

import polars as pl

for name, count in {"human": 30, "llmbar": 4, "gsm8k": 4, "S-one": 12, "S-two": 12, "E": 12, "B": 12, "D": 12}.items():
    rows = [{"prompt": f"{name} {n}?", "chosen": "yes" * (1 + n % 2 * 3), "rejected": "no no no"} for n in range(count)]
    pl.DataFrame(rows).write_parquet(f"{sys.argv[1]}/{name}.parquet")
PY
fi
: "${data:?set DATA, the folder of pairs}"
for file in cells.jsonl choice.jsonl; do
  if [ -f "$data/$file" ] && [ ! -f "$OUT/$file" ]; then cp "$data/$file" "$OUT/$file"; fi
done
if [ "${SIZE:-full}" = tiny ]; then
  size=(--model "$MODEL" --steps 2 --batch-pairs 2 --pairs 6 --held-out 4 --dev 4 --seeds 1 --seeds 2)
else
  size=(--weights "$MODEL" --steps 75 --pairs 500 --human-pool 700 --train-length 384 --seeds {1..8} --seeds {9..16})
fi
failed=0
together() { # options of reward.py: all that it comes to, shared among the processes, none of which outlasts the time
  local number pids=() code
  for number in $(seq "$workers"); do
    timeout --foreground $((end > SECONDS ? end - SECONDS : 1)) python benchmarks/reward.py --human "$data"/human.* \
      --llmbar "$data/llmbar.parquet" --gsm8k "$data/gsm8k.parquet" --out "$OUT" --full \
      --device "$DEVICE" --synthetic "S=$(echo "$data"/S-*.parquet | tr ' ' ,)" "E=$data/E.parquet" "B=$data/B.parquet" \
      "D=$data/D.parquet" "${size[@]}" "$@" --shard "$number/$workers" 2>>"$OUT/log" &
    pids+=($!)
  done
  for number in "${pids[@]}"; do
    code=0
    wait "$number" || code=$?
    if [ $code != 0 ] && [ $code != 124 ]; then failed=1; fi
  done
}
together --choose
read -r rate _ < <(python benchmarks/reward_records.py "$OUT/choice.jsonl")
levers=()
for kind in E B D; do levers+=("H+$kind" "H+$kind flipped" "$kind" "$kind flipped"); done
together --learning-rate "$rate" --arms H H+S "H+S flipped" S "S flipped" --arms H+H "H flipped" "H+S random" \
  --arms "${levers[@]}"
echo "$(grep -c . "$OUT/cells.jsonl") cells"
exit $failed
