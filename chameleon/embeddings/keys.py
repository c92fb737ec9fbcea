"""Names of embeddings: what of a proxy and a domain may change the numbers. The proxy need not be loaded."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from chameleon.common.errors import InputError
from chameleon.embeddings.store import file_name
from chameleon.text.corpora import Domain
from chameleon.text.grid import WindowRecipe

POOLING = "mean over tokens of the output of the middle block"


@dataclass(frozen=True)
class ProxyIdentity:
    """A proxy and where it runs.

    Attributes:
        digest: SHA-256 (hex) of its configuration and weights files.
        tokenizer_digest: SHA-256 (hex) of its tokenizer.
        block: Number of the block whose output is pooled, from 1.
        num_blocks: Blocks of the whole checkpoint.
        width: Width of its embeddings.
        dtype: Name of its precision, such as float32.
        device: Kind of device that it runs on, such as cpu.
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


def recipe_of(domain: Domain, identity: ProxyIdentity, windows: WindowRecipe) -> dict[str, Any]:
    """All that may change the numbers of a domain's embeddings."""
    return {
        "text": domain.text.fingerprint,
        "version": domain.version,
        "windows": windows.to_dict(),
        "tokenizer": identity.tokenizer_digest,
        "proxy": identity.digest,
        "block": identity.block,
        "pooling": POOLING,
        "dtype": identity.dtype,
    }


def keys_of(domains: Iterable[Domain], identity: ProxyIdentity, windows: WindowRecipe) -> dict[str, str]:
    """The file name of each domain, which stands for all that may change its numbers."""
    return {each.name: file_name(each.name, recipe_of(each, identity, windows)) for each in domains}


def recipes_by_key(
    domains: Iterable[Domain], identity: ProxyIdentity, windows: WindowRecipe
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name and recipe of each domain, by its file name: see `Pieces.fold`."""
    recipes = ((each.name, recipe_of(each, identity, windows)) for each in domains)
    return {file_name(name, recipe): (name, recipe) for name, recipe in recipes}


@contextmanager
def naming(domain: str) -> Iterator[None]:
    """Begin the message of any InputError with the domain's name."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith("domain ") else f"domain {domain}: {text}") from None
