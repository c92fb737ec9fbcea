#!/usr/bin/env bash
# All benchmarks that need a GPU: benchmarks/on_gpu.sh DATASET RESULTS, with the project's requirements installed.
set -uo pipefail
cd "$(dirname "$0")/.."
data=$1 results=$2 work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$results"
failed=0
step() { echo "== $* (at ${SECONDS} s)"; "$@" || failed=1; }

step python3 -m benchmarks.training --device cuda --dataset "$data" --model 124M --compile --batch_size "${ROWS:-64}" \
    --steps 30 --warm_up 12 --repeats "${REPEATS:-3}" --output "$results/training_gpu.json"
step python3 -m benchmarks.embedding --device cuda --dataset "$data" --output "$results/embedding_gpu.json"

# A real proxy: the published shape on equal shares of the domains, for as many steps as the sample has text for.
step python3 -m chameleon train --dataset "$data" --output_dir "$work/proxy" --packed_dir "$work/packed" \
    --heldout_share 0.1 --compile --max_steps "${PROXY_STEPS:-300}" --save_steps 100
step python3 -m chameleon evaluate "$work/proxy/checkpoint-200" "$work/proxy" --dataset "$data" \
    --packed_dir "$work/packed" --heldout_share 0.1 --output "$results/proxy_gpu_evaluation.json"
for dtype in bfloat16 float32; do
    step python3 compute_chameleon_weights.py --dataset "$data" --checkpoint_path "$work/proxy" --dtype $dtype \
        --embeddings_dir "$work/embeddings" --output "$results/proxy_gpu_weights_$dtype.json"
done

# Sharded by accelerate's own configuration; one process is enough to see that it runs.
step accelerate launch --use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP \
    --fsdp_state_dict_type FULL_STATE_DICT --num_processes 1 --num_machines 1 --mixed_precision bf16 \
    --dynamo_backend no -m chameleon train --dataset "$data" --output_dir "$work/sharded" \
    --packed_dir "$work/packed" --heldout_share 0.1 --max_steps 20 --save_steps 10
step python3 -m chameleon evaluate "$work/sharded" --dataset "$data" --packed_dir "$work/packed" \
    --output "$work/sharded.json"
exit $failed
