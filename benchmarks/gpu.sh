#!/usr/bin/env bash
# Training and generation on one GPU, in at most six minutes, without network or gated model: the model is a randomly
# initialised Llama of about 1.2B parameters. Needs torch, transformers, accelerate and peft; what else is missing is
# installed from wheels (WHEELS, a folder) where there is one. Prints a table; OUT takes it as Markdown.
#
#   benchmarks/gpu.sh                 on a GPU
#   SIZE=tiny benchmarks/gpu.sh       whether it runs, anywhere
#
# First benchmarks/smoke.py says whether generation and training run at all.
#
# Prepared, and so far run with SIZE=tiny on a CPU alone: no number of it stands in the docs yet.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${WHEELS:-}" ]; then
  python -m pip install --quiet --no-index --find-links "$WHEELS" trl datasets polars pydantic pyyaml click
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
device=cuda
if [ "${SIZE:-1b}" = tiny ]; then device=auto; fi
timeout "${SMOKE_SECONDS:-120}" python benchmarks/smoke.py --device "$device" || {
  echo "smoke: failed, or not done in ${SMOKE_SECONDS:-120} seconds; nothing else was tried"
  exit 1
}
out="${OUT:-gpu.md}"
: > "$out"
model="$(mktemp -d)"
trap 'rm -rf "$model"' EXIT
failed=0
for what in trl exact sampled generation; do
  timeout "${PART_SECONDS:-150}" python benchmarks/gpu.py "$what" --size "${SIZE:-1b}" --model "$model/model" |
    tee -a "$out" || {
    echo "$what: failed, or not ended in ${PART_SECONDS:-150} seconds" | tee -a "$out"
    failed=1
  }
done
exit $failed
