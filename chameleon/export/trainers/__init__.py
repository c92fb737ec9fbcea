"""Writers and readers of trainers' files, by what the files are made of.

`megatron`: weights and paths in turn (Megatron-LM, NeMo, nanotron).
`yaml_configs`: YAML (LLM Foundry, OLMo-core, Levanter, LLaMA-Factory, RegMix).
`python_code`: Python (Hugging Face datasets, LitData, torchtitan).
`json_csv`: JSON and CSV (this program's training, DoReMi, DoGE, plain CSV).
"""
