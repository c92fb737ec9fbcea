"""The model to train: a new one of a named size or configuration, or a checkpoint to finetune."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedModel

from chameleon.common.errors import InputError, one_line
from chameleon.common.files import digest_of_files, local_path, path_exists
from chameleon.common.libraries import quiet_transformers
from chameleon.proxy.checkpoints import find_checkpoint
from chameleon.proxy.model import context_of, fuse_activations, require_causal_architecture

# Blocks, width and heads of new models: the GPT-2 shapes of the method's papers, and a small Llama.
SIZES = {"2M": (4, 128, 4), "82M": (6, 768, 12), "124M": (12, 768, 12), "684M": (36, 1200, 24)}
_LLAMA = "2M"

# Matrix units are faster if the embedding's rows are a multiple of this; no text has the tokens added.
_VOCABULARY_STEP = 64


@dataclass(frozen=True)
class ModelSource:
    """A model as named by the user: a checkpoint to finetune, a configuration of a new model, or a size."""

    name: str
    checkpoint: Path | None = None
    config: Path | None = None

    @property
    def identity(self) -> str:
        """Identifies it, so that a run is not resumed with another model."""
        if self.checkpoint is not None:
            weights = sorted(self.checkpoint.glob("*.safetensors")) or sorted(self.checkpoint.glob("*.bin"))
            return digest_of_files([self.checkpoint / "config.json", *weights])
        return self.name if self.config is None else digest_of_files([self.config])


def find_model(name: str) -> ModelSource:
    """Find a model by name: a size, a config.json, or a checkpoint.

    Raises:
        InputError: There is no such model.
    """
    if name in SIZES:
        return ModelSource(name)
    path = local_path(name)
    if path_exists(path) and path.is_file():
        try:
            if not isinstance(json.loads(path.read_bytes()), dict):
                raise ValueError("expected a JSON object")
        except (OSError, ValueError) as error:
            raise InputError(f"{name} is not a model configuration: {error}") from None
        return ModelSource(name, config=path)
    try:
        return ModelSource(name, checkpoint=find_checkpoint(name))
    except InputError as error:
        raise InputError(
            f"{error}; or train a new model: {', '.join(SIZES)} or a config.json (--model)"
        ) from None


def context_length(source: ModelSource, trust_remote_code: bool) -> int | None:
    """The longest input of a model in tokens; None for a named size, which is built for any length."""
    config = _text_config(source, trust_remote_code)
    return None if config is None else context_of(config)


def check_length(length: int, contexts: Mapping[str, int | None]) -> None:
    """Raise InputError for rows of one token, or of more tokens than a model takes.

    Args:
        length: Tokens of a row.
        contexts: Longest input of each model by its name, in tokens; None if there is no bound.
    """
    if length < 2:
        raise InputError("a row of one token predicts nothing; use a --sample_length of at least 2")
    for name, context in contexts.items():
        if context is not None and length > context:
            raise InputError(
                f"rows of {length} tokens exceed the context of {context} tokens of {name}; use "
                f"--sample_length {context} or less"
            )


def check_vocabulary(source: ModelSource, vocabulary: int, trust_remote_code: bool) -> None:
    """Raise InputError if the tokenizer has more tokens than the model is configured for."""
    config = _text_config(source, trust_remote_code)
    if config is not None and config.vocab_size < vocabulary:
        raise _too_many_tokens(source.name, vocabulary, config.vocab_size)


def _too_many_tokens(name: str, vocabulary: int, rows: int) -> InputError:
    return InputError(
        f"the tokenizer has {vocabulary} tokens, but the model {name} only {rows}; name the model's own with "
        "--tokenizer, or train a smaller one with --vocab_size"
    )


def build_model(
    source: ModelSource, vocabulary: int, end_of_text: int, context: int, seed: int, trust_remote_code: bool
) -> PreTrainedModel:
    """Build or load a model, in float32 on the CPU.

    Args:
        source: Origin of the model.
        vocabulary, end_of_text: Number of tokens of the tokenizer, and the token between documents.
        context: Tokens of a row.
        seed: Seed of a new model's weights.
        trust_remote_code: Whether to run Python files of a checkpoint.

    Raises:
        InputError: It cannot be built or loaded, is not a causal LM, or has fewer tokens than the tokenizer.
    """
    torch.manual_seed(seed % (1 << 63))
    with quiet_transformers():
        try:
            model = _load_or_create(source, vocabulary, end_of_text, context, trust_remote_code)
        except InputError:
            raise
        except Exception as error:  # the library raises all kinds
            reason = one_line(error, 300)
            raise InputError(
                f"cannot build the model {source.name} ({type(error).__name__}: {reason}); name another with "
                "--model"
            ) from None
    if (rows := model.get_input_embeddings().num_embeddings) < vocabulary:
        raise _too_many_tokens(source.name, vocabulary, rows)
    fuse_activations(model)
    _require_causal(model, source.name)
    built: PreTrainedModel = model
    return built


def gpt2_config(
    vocabulary: int, context: int, blocks: int, width: int, heads: int, end_of_text: int
) -> GPT2Config:
    """The configuration of a GPT-2 without dropout."""
    return GPT2Config(
        vocab_size=vocabulary,
        n_positions=context,
        n_embd=width,
        n_layer=blocks,
        n_head=heads,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


def llama_config(
    vocabulary: int, context: int, blocks: int, width: int, heads: int, end_of_text: int
) -> LlamaConfig:
    """The configuration of a Llama whose output has embeddings of its own, so that few tokens teach it."""
    return LlamaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=context,
        hidden_size=width,
        intermediate_size=-(-width * 8 // 24) * 8,
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        tie_word_embeddings=False,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
    )


def _require_causal(model: Any, name: str) -> None:  # noqa: ANN401
    """Refuse a model whose outputs change with later tokens."""
    ids = torch.zeros(2, 8, dtype=torch.long)
    ids[1, 4:] = 1
    training = model.training
    model.eval()
    with torch.inference_mode():
        first, second = model(input_ids=ids).logits[:, :4].float()
    model.train(training)
    if not torch.allclose(first, second, rtol=0, atol=1e-4 * float(first.abs().max())):
        raise InputError(
            f"expected a causal language model (such as GPT-2 or Llama), but tokens of {name} see those that "
            "follow"
        )


def _load_or_create(
    source: ModelSource, vocabulary: int, end_of_text: int, context: int, trust_remote_code: bool
) -> Any:  # noqa: ANN401
    if source.checkpoint is not None:
        config = _config(source, trust_remote_code)
        require_causal_architecture(config, source.checkpoint)
        load: Any = AutoModelForCausalLM.from_pretrained
        settings = {"output_loading_info": True, "trust_remote_code": trust_remote_code}
        model, loading = load(source.checkpoint, dtype=torch.float32, **settings)
        if missing := sorted(loading["missing_keys"]):
            raise InputError(
                f"{source.name} lacks {len(missing)} of the model's weights, such as {missing[0]}; name a "
                "complete checkpoint"
            )
        return model
    make: Any = AutoModelForCausalLM.from_config
    if source.config is not None:
        return make(_config(source, False), dtype=torch.float32)
    entries = -(-vocabulary // _VOCABULARY_STEP) * _VOCABULARY_STEP
    config = llama_config if source.name == _LLAMA else gpt2_config
    return make(config(entries, context, *SIZES[source.name], end_of_text), dtype=torch.float32)


def _text_config(source: ModelSource, trust_remote_code: bool) -> Any:  # noqa: ANN401
    """The configuration of a model's language part; None for a named size."""
    if source.checkpoint is None and source.config is None:
        return None
    return _config(source, trust_remote_code).get_text_config(decoder=True)


def _config(source: ModelSource, trust_remote_code: bool) -> Any:  # noqa: ANN401
    try:
        with quiet_transformers():
            path = str(source.checkpoint or source.config)
            return AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except Exception as error:  # the library raises all kinds for damaged files
        reason = one_line(error, 300)
        raise InputError(
            f"{source.name} is not the configuration of a known model ({type(error).__name__}: {reason})"
        ) from None


def count_parameters(model: nn.Module) -> int:
    """The number of parameters; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())
