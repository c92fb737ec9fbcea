#!/usr/bin/env bash
# All that wants a GPU: benchmarks/on_gpu.sh DATASET RESULTS, with the project's requirements installed.
set -uo pipefail
cd "$(dirname "$0")/.."
data=$1 results=$2 work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$results"
failed=0
part() { echo "== $* (at ${SECONDS} s)"; "$@" || failed=1; }

part python3 -m benchmarks.training --device cuda --dataset "$data" --model 124M --compile --batch_size "${ROWS:-64}" \
    --steps 30 --warm_up 12 --repeats "${REPEATS:-3}" --output "$results/training_gpu.json"
part python3 -m benchmarks.embedding --device cuda --dataset "$data" --output "$results/embedding_gpu.json"

# A real proxy: the published shape and settings, on equal shares of the domains.
part python3 -m chameleon.training --dataset "$data" --output_dir "$work/proxy" --packed_dir "$work/packed" \
    --heldout_share 0.1 --compile --save_steps 2000
cp "$work/proxy/loss.csv" "$results/proxy_gpu_loss.csv"
cp "$work/proxy/training.json" "$results/proxy_gpu_training.json"
part python3 -m chameleon.evaluation "$work/proxy" --dataset "$data" --packed_dir "$work/packed" \
    --output "$results/proxy_gpu_evaluation.json"
for dtype in bfloat16 float32; do
    part python3 compute_chameleon_weights.py --dataset "$data" --checkpoint_path "$work/proxy" --dtype $dtype \
        --embeddings_dir "$work/embeddings" --output "$results/proxy_gpu_weights_$dtype.json"
done
exit $failed
