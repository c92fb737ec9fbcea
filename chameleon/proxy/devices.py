"""Chooses the device and the precision to compute in."""

import torch

from chameleon.common.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto" is the first of cuda, mps and cpu that this machine has.

    Raises:
        InputError: No device has this name, or this machine has no such device.
    """
    if name == "auto":
        available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        return torch.device(next((kind for kind, exists in available.items() if exists), "cpu"))
    try:
        device = torch.device(name)
        torch.ones(1, device=device).cpu()
    except Exception as error:  # each kind of device raises its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"--device {name} cannot be used here ({reason}); try auto or cpu") from None
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of a name; "auto" is bfloat16 where the device multiplies it in hardware.

    docs/decisions/proxy.md has the figures of how little the weights move by it.
    """
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device.type == "cpu" and _cpu_multiplies_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that memory ran out; CPUs and Apple's devices raise a plain RuntimeError."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(each in str(error).lower() for each in words)


def _cpu_multiplies_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
