"""What of a proxy goes into the names of embeddings and into where they came from; it need not be loaded."""

from collections.abc import Mapping
from dataclasses import dataclass

POOLING = "mean over tokens of the output of the middle block"


@dataclass(frozen=True)
class ProxyIdentity:
    """A proxy where it computes.

    Attributes:
        digest: SHA-256 (hex) of its configuration and weights files.
        tokenizer_digest: SHA-256 (hex) of its tokenizer.
        block: After which block it is cut, from 1 on.
        num_blocks: Of the whole checkpoint.
        width: Of its embeddings.
        dtype: Name of what it computes in, such as float32.
        device: Kind of where it computes, such as cpu.
        libraries: Versions of the libraries that compute, by name.
    """

    digest: str
    tokenizer_digest: str
    block: int
    num_blocks: int
    width: int
    dtype: str
    device: str
    libraries: Mapping[str, str]
