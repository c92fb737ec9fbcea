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
        middle_block: The block whose output is pooled, the last of `model`.
        block: Number of that block from 1, by default m = (L + 1) // 2.
        num_blocks: L, blocks of the whole checkpoint.
        width: d.
        context: Most tokens of a window; None where the model sets no bound.
        vocabulary: Rows of the token embedding.
        device: Device it runs on.
        dtype: Its precision.
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
        # Once, not for each forward pass: several threads may be in one.
        self.middle_block.register_forward_hook(_stop)

    @torch.inference_mode()
    def embed(self, tokens: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]) -> torch.Tensor:
        """Mean of the middle block's output over the tokens of each window.

        In a causal model the states at real tokens do not see the padding to their right. So the
        forward pass needs no mask; the padding is only left out of the mean.

        Args:
            tokens: (b, t) ids, right-padded with any ids of the vocabulary.
            lengths: (b,) real tokens of each row, at least 1.

        Returns:
            (b, d) float32 on the proxy's device; an accelerator may still be computing it.
        """
        ids = torch.from_numpy(tokens)
        if self.device.type == "cuda":
            ids = ids.pin_memory()
        states = self._states(ids.to(self.device, non_blocking=True).long())
        counts: torch.Tensor | int = tokens.shape[1]
        if (lengths < tokens.shape[1]).any():
            counts = torch.from_numpy(lengths).to(self.device)[:, None]
            padding = torch.arange(tokens.shape[1], device=self.device) >= counts
            states = states.masked_fill(padding[:, :, None], 0)
        return torch.div(states.sum(dim=1, dtype=torch.float32), counts)

    def _states(self, ids: torch.Tensor) -> torch.Tensor:
        """(b, t, d) output of the middle block, unlike the model's own output before the last norm."""
        try:
            self.model(input_ids=ids, use_cache=False)
        except _Reached as reached:
            return reached.states
        raise RuntimeError(f"{type(self.model).__name__} did not run its middle block")


class _Reached(Exception):  # noqa: N818
    """Ends a forward pass after the middle block."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states


def _stop(_module: nn.Module, _args: Any, output: Any) -> None:  # noqa: ANN401
    raise _Reached(output[0] if isinstance(output, tuple | list) else output)


def load_proxy(
    checkpoint: Path,
    device: torch.device,
    dtype: torch.dtype,
    trust_remote_code: bool = False,
    block: int | None = None,
) -> Proxy:
    """Load the lower half of a causal LM; the upper blocks and the LM head are not built.

    Args:
        checkpoint: Directory with config.json and the weights.
        device: Device to run on.
        dtype: Precision to compute in.
        trust_remote_code: Whether Python files of the checkpoint may run.
        block: Block after which to cut, from 1 (default: the middle one).

    Raises:
        InputError: The checkpoint cannot be loaded, lacks weights, is not a causal LM, or has no such block.
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
    except Exception as error:  # damaged files make the library raise many kinds
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
    """The model cut after `block`; whole where the upper blocks decide how the lower ones are built."""

    def load(cut: bool) -> Any:  # noqa: ANN401
        config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=trust_remote_code)
        text_config = config.get_text_config(decoder=True)
        # Counted from the top (Gemma 3n).
        if cut and not getattr(text_config, "num_kv_shared_layers", None):
            _truncate(text_config, block)
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
                "use a complete checkpoint"
            )
        return getattr(model, "get_decoder", lambda: model)()

    try:
        return load(cut=True)
    except Exception:  # the whole model loads, or its error says what is wrong
        return load(cut=False)


def require_causal_architecture(config: PretrainedConfig, checkpoint: Path) -> None:
    """Raise InputError for the configuration of a model that is not a causal LM."""
    remote = getattr(config, "auto_map", None) or {}
    known = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or "AutoModelForCausalLM" in remote
    causal_heads = ("ForCausalLM", "ForConditionalGeneration")
    other = [name for name in config.architectures or () if "For" in name and not name.endswith(causal_heads)]
    if other or not known or getattr(config, "is_encoder_decoder", False):
        raise InputError(_not_causal(checkpoint, other[0] if other else config.model_type))


def _require_causal_attention(proxy: Proxy, checkpoint: Path) -> None:
    """Raise InputError for a model in which a token sees later ones, by running it."""
    ids = torch.zeros(2, 8, dtype=torch.long, device=proxy.device)
    ids[1, 4:] = 1
    try:
        with torch.inference_mode():
            states = proxy._states(ids)
    except Exception as error:  # an unusual model may raise anything
        raise InputError(unloadable(checkpoint, "model", error)) from None
    shape = tuple(getattr(states, "shape", ()))
    if shape != (*ids.shape, proxy.width):
        raise InputError(
            f"{checkpoint} ({type(proxy.model).__name__}) does not give one state of width {proxy.width} a "
            f"token after its middle block, but the shape {shape}; use another model"
        )
    first, second = states[:, :4].float()
    # Equal but for rounding; a bidirectional model differs by thousandths even when it is untrained.
    tolerance = max(1e-4, 2.5 * torch.finfo(proxy.dtype).eps) * float(first.abs().max())
    if not torch.allclose(first, second, rtol=0, atol=tolerance):
        raise InputError(_not_causal(checkpoint, type(proxy.model).__name__))


def _not_causal(checkpoint: Path, kind: str) -> str:
    return f"expected a causal language model (such as GPT-2 or Llama), {checkpoint} is a {kind}"


def context_of(config: PretrainedConfig) -> int | None:
    """Most tokens of an input that a configuration allows; None where it sets no bound."""
    names = ("max_position_embeddings", "max_seq_len")
    return next((getattr(config, name) for name in names if getattr(config, name, None)), None)


def _truncate(config: PretrainedConfig, block: int) -> None:
    """Cut a configuration to its first `block` blocks, and lists with an entry for each block too."""
    num_blocks = config.num_hidden_layers
    config.num_hidden_layers = block
    for name, value in vars(config).items():
        if isinstance(value, list) and len(value) == num_blocks and "layer" in name:
            setattr(config, name, value[:block])


def fuse_activations(decoder: nn.Module) -> None:
    """Replace GPT-2's GELU, eight passes over memory, by torch's one kernel for its tanh form."""
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
