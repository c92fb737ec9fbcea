#!/usr/bin/env bash
# The comparison with models of 30M parameters and 42M tokens each, on one GPU in about ten minutes:
# benchmarks/comparison_on_gpu.sh DATASET WORK RESULTS. It resumes from WORK.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1 work=$2 results=$3
mkdir -p "$work" "$results"
cat > "$work/model-30M.json" <<'JSON'
{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 4096, "hidden_size": 512,
 "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8,
 "max_position_embeddings": 512, "tie_word_embeddings": false, "bos_token_id": 0, "eos_token_id": 0}
JSON
exec python3 -m benchmarks.comparison --dataset "$data" --work_dir "$work" --model "$work/model-30M.json" \
    --sample_length 512 --batch_size 64 --steps "${STEPS:-1280}" --learning_rate 1e-3 --seeds "${SEEDS:-1}" \
    --jobs "${JOBS:-2}" --methods uniform,law,natural,pretrain,finetune \
    --output "$results/comparison_gpu.json" --picture "$work/comparison.png"
