"""Finds checkpoints: a local directory, or a model of the hub that is downloaded to one."""

import os
import re
from pathlib import Path

from chameleon.common.errors import InputError, one_line
from chameleon.common.files import digest_of_files, digest_of_json, is_utf8, local_path, path_exists
from chameleon.common.libraries import quiet_hub

DEFAULT_CHECKPOINT = "./checkpoints/BASE-82M/"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "*_tokens*.json", "*.model", "*.tiktoken")
_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.py", "*.jinja"]


def find_checkpoint(checkpoint: str, weights: bool = True) -> Path:
    """The directory of a checkpoint, downloaded into the hub's cache where it is a hub id.

    Args:
        checkpoint: Name of a directory or hub model.
        weights: Whether the model is needed, or only its tokenizer.

    Raises:
        InputError: No such directory or hub model exists, or it holds no model.
    """
    path = local_path(checkpoint)
    if not is_utf8(checkpoint):
        raise InputError(f"the checkpoint's name {os.fsencode(checkpoint)!r} is not UTF-8; rename it")
    if not path_exists(path):
        if not _HUB_ID.fullmatch(checkpoint):
            raise InputError(
                f"there is no checkpoint {checkpoint}; name the directory of a causal language model or "
                "a hub id such as distilbert/distilgpt2"
            )
        path = _download(checkpoint, weights)
    if not weights:
        return path
    if not (path / "config.json").is_file():
        raise InputError(f"{checkpoint} is not a checkpoint: it holds no config.json")
    if not (any(path.glob("*.safetensors")) or any(path.glob("*.bin"))):
        raise InputError(f"{checkpoint} is not a checkpoint: it holds no weights (*.safetensors or *.bin)")
    return path


def proxy_files(checkpoint: Path) -> list[Path]:
    """The files that decide the numbers of a checkpoint's model."""
    kinds = ("*.safetensors", "*.bin", "*.py")
    return [checkpoint / "config.json", *(path for kind in kinds for path in sorted(checkpoint.glob(kind)))]


def digest_of_checkpoint(checkpoint: Path, of_proxy: str | None = None) -> str:
    """Digest of the files of proxy and tokenizer, without loading them.

    Args:
        checkpoint: Directory of the checkpoint.
        of_proxy: Digest of `proxy_files` if it is known, since weights are large.

    Raises:
        InputError: A file cannot be read.
    """
    others = {path for kind in _TOKENIZER_FILES for path in checkpoint.glob(kind) if path.is_file()}
    try:
        of_proxy = of_proxy or digest_of_files(proxy_files(checkpoint))
        return digest_of_json([of_proxy, digest_of_files(sorted(others))])[:16]
    except OSError as error:
        raise InputError(f"cannot read {error.filename} ({error.strerror}); fix the checkpoint") from None


def _download(model: str, weights: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        with quiet_hub():
            kinds = [*_SMALL_FILES, "*.safetensors"] if weights else _SMALL_FILES
            path = Path(snapshot_download(model, allow_patterns=kinds))
            if weights and not any(path.glob("*.safetensors")):
                path = Path(snapshot_download(model, allow_patterns=[*_SMALL_FILES, "pytorch_model*.bin"]))
    except Exception as error:  # from the hub's library, its HTTP library or the network
        raise InputError(
            f"there is no directory {model}, and the hub has no such model "
            f"({type(error).__name__}: {one_line(error, 300)}). To work offline, name a local "
            "directory, or set HF_HOME to a cache that holds it and HF_HUB_OFFLINE=1"
        ) from None
    return path
