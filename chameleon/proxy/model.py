"""A causal language model cut after its middle block, and its pooled embeddings of windows.

Shapes: b windows of a batch, t tokens of a window, d width of the model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig
from transformers.activations import NewGELUActivation
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_files
from chameleon.common.libraries import quiet_transformers
from chameleon.proxy.checkpoints import proxy_files
from chameleon.proxy.tokenizer import unloadable


@dataclass(frozen=True)
class Proxy:
    """A loaded model up to its middle block.

    Attributes:
        model: The decoder, its upper blocks left off.
        middle_block: The block whose output is pooled; its last.
        block: Its number m = (L + 1) // 2, counted from 1.
        num_blocks: L of the whole checkpoint.
        width: d.
        context: The most tokens that a window may have, or None where the model sets no bound.
        vocabulary: Rows of its token embedding.
        device: Where it runs.
        dtype: What it computes in.
        digest: SHA-256 (hex) of its configuration and weights files.
    """

    model: nn.Module
    middle_block: nn.Module
    block: int
    num_blocks: int
    width: int
    context: int | None
    vocabulary: int
    device: torch.device
    dtype: torch.dtype
    digest: str

    def __post_init__(self) -> None:
        # Once and for all: several threads may be in a forward pass.
        self.middle_block.register_forward_hook(_stop)

    @torch.inference_mode()
    def embed(self, tokens: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]) -> torch.Tensor:
        """Mean over each window's tokens of the middle block's output.

        A causal model's states at real tokens do not see the padding to their right, so none is
        masked in the forward pass: it is only left out of the mean.

        Args:
            tokens: (b, t) ids, right-padded with any ids of the vocabulary.
            lengths: (b,) real tokens of each row, at least 1.

        Returns:
            (b, d) float32 on the proxy's device; on an accelerator it may still be computing.
        """
        ids = torch.from_numpy(tokens)
        if self.device.type == "cuda":
            ids = ids.pin_memory()
        states = self._states(ids.to(self.device, non_blocking=True).long())
        if (lengths == tokens.shape[1]).all():
            return _mean(states, tokens.shape[1])
        counts = torch.from_numpy(lengths).to(self.device)
        padding = torch.arange(tokens.shape[1], device=self.device) >= counts[:, None]
        states = states.masked_fill(padding[:, :, None], 0)
        return _mean(states, counts[:, None])

    def _states(self, ids: torch.Tensor) -> torch.Tensor:
        """(b, t, d) output of the middle block. The model's own output has been through a last norm."""

        try:
            self.model(input_ids=ids, use_cache=False)
        except _Reached as reached:
            return reached.states
        raise RuntimeError(f"{type(self.model).__name__} did not run its middle block")


class _Reached(Exception):  # noqa: N818
    """Ends a forward pass behind the middle block."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states


def _stop(_module: nn.Module, _args: Any, output: Any) -> None:  # noqa: ANN401
    raise _Reached(output[0] if isinstance(output, tuple | list) else output)


def _mean(states: torch.Tensor, counts: torch.Tensor | int) -> torch.Tensor:
    return torch.div(states.sum(dim=1, dtype=torch.float32), counts)


def load_proxy(
    checkpoint: Path,
    device: torch.device,
    dtype: torch.dtype,
    trust_remote_code: bool = False,
    block: int | None = None,
) -> Proxy:
    """Load a causal LM's lower half: the upper blocks and the LM head are not even built.

    Args:
        checkpoint: Directory with config.json and the weights.
        device: Where to run it.
        dtype: What to compute in.
        trust_remote_code: Run Python files that the checkpoint brings.
        block: After which block to cut it, from 1 on; by default the middle one.

    Raises:
        InputError: The checkpoint cannot be loaded, lacks weights, is no causal LM, or has no such block.
    """
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=trust_remote_code)
            require_causal_architecture(config, checkpoint)
            text_config = config.get_text_config(decoder=True)
            num_blocks = text_config.num_hidden_layers
            if num_blocks < 1:
                raise ValueError(f"its configuration has {num_blocks} blocks")
            block = (num_blocks + 1) // 2 if block is None else block
            if block > num_blocks:
                raise InputError(f"--block {block} is over the {num_blocks} blocks of {checkpoint}")
            decoder = _load_decoder(checkpoint, block, dtype, trust_remote_code)
    except InputError:
        raise
    except Exception as error:  # whatever the library stumbles on in damaged files
        raise InputError(unloadable(checkpoint, "model", error)) from None
    fuse_activations(decoder)
    proxy = Proxy(
        model=decoder.eval().to(device),
        middle_block=_blocks(decoder, block, num_blocks)[block - 1],
        block=block,
        num_blocks=num_blocks,
        width=text_config.hidden_size,
        context=context_of(text_config),
        vocabulary=decoder.get_input_embeddings().num_embeddings,
        device=device,
        dtype=dtype,
        digest=digest_of_files(proxy_files(checkpoint)),
    )
    _require_causal_attention(proxy, checkpoint)
    return proxy


def _load_decoder(checkpoint: Path, block: int, dtype: torch.dtype, trust_remote_code: bool) -> Any:  # noqa: ANN401
    """The model cut after `block`, or whole where what lies above decides how the lower half is built."""

    def load(cut: bool) -> Any:  # noqa: ANN401
        config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=trust_remote_code)
        if cut:
            _truncate(config.get_text_config(decoder=True), block)
        model, loading = AutoModel.from_pretrained(
            checkpoint,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
        )
        if loading["missing_keys"]:
            missing = sorted(loading["missing_keys"])
            raise InputError(
                f"{checkpoint} lacks {len(missing)} of the model's weights, {missing[0]} among them; "
                "name a whole checkpoint"
            )
        return getattr(model, "get_decoder", lambda: model)()

    text_config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=trust_remote_code).get_text_config(
        decoder=True
    )
    if getattr(text_config, "num_kv_shared_layers", None):  # counted from the top (Gemma 3n)
        return load(cut=False)
    try:
        return load(cut=True)
    except Exception:  # a whole model loads, or tells what is wrong with it
        return load(cut=False)


def require_causal_architecture(config: PretrainedConfig, checkpoint: Path) -> None:
    """Raise InputError for the configuration of a model that is no causal LM."""
    remote = getattr(config, "auto_map", None) or {}
    known = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or "AutoModelForCausalLM" in remote
    causal_heads = ("ForCausalLM", "ForConditionalGeneration")
    other = [name for name in config.architectures or () if "For" in name and not name.endswith(causal_heads)]
    if other or not known or getattr(config, "is_encoder_decoder", False):
        raise InputError(_not_causal(checkpoint, other[0] if other else config.model_type))


def _require_causal_attention(proxy: Proxy, checkpoint: Path) -> None:
    """Refuse a model in which a token sees those that follow it, by what it does."""
    ids = torch.zeros(2, 8, dtype=torch.long, device=proxy.device)
    ids[1, 4:] = 1
    try:
        with torch.inference_mode():
            states = proxy._states(ids)
    except Exception as error:  # whatever a model that is not like the others stumbles on
        raise InputError(unloadable(checkpoint, "model", error)) from None
    shape = tuple(getattr(states, "shape", ()))
    if shape != (*ids.shape, proxy.width):
        raise InputError(
            f"{checkpoint} ({type(proxy.model).__name__}) does not give one state of width {proxy.width} a "
            f"token after its middle block, but the shape {shape}; use another model"
        )
    first, second = states[:, :4].float()
    # Equal but for rounding; a model that sees both ways differs by thousandths even when it is untrained.
    tolerance = max(1e-4, 2.5 * torch.finfo(proxy.dtype).eps) * float(first.abs().max())
    if not torch.allclose(first, second, rtol=0, atol=tolerance):
        raise InputError(_not_causal(checkpoint, type(proxy.model).__name__))


def _not_causal(checkpoint: Path, kind: str) -> str:
    return f"expected a causal language model (such as GPT-2 or Llama), {checkpoint} is of the kind {kind}"


def context_of(config: PretrainedConfig) -> int | None:
    """The most tokens of an input that a configuration allows, or None where it sets no bound."""
    names = ("max_position_embeddings", "max_seq_len")
    return next((getattr(config, name) for name in names if getattr(config, name, None)), None)


def _truncate(config: PretrainedConfig, block: int) -> None:
    """Leave the first `block` blocks in a configuration, and in what it lists block by block."""
    num_blocks = config.num_hidden_layers
    config.num_hidden_layers = block
    for name, value in vars(config).items():
        if isinstance(value, list) and len(value) == num_blocks and "layer" in name:
            setattr(config, name, value[:block])


def fuse_activations(decoder: nn.Module) -> None:
    """Put torch's one kernel for the tanh form of GELU where GPT-2's is eight passes over memory."""
    for module in decoder.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))


def _blocks(decoder: nn.Module, *counts: int) -> nn.ModuleList:
    """The decoder's list of blocks: the outermost list of one of these lengths."""
    lists = [
        module for module in decoder.modules() if isinstance(module, nn.ModuleList) and len(module) in counts
    ]
    if not lists:
        raise InputError(f"cannot find the {counts[0]} blocks of {type(decoder).__name__}; use another model")
    return lists[0]
