"""What of a proxy goes into the names of embeddings and into where they came from; it need not be loaded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from chameleon.common.errors import InputError
from chameleon.embeddings.pieces import Pieces
from chameleon.embeddings.store import DomainEmbeddings, file_name
from chameleon.text.corpora import Domain
from chameleon.text.grid import Grid, WindowRecipe, lay_grid
from chameleon.text.protocols import Tokenizer

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


@dataclass(frozen=True, eq=False)
class Task:
    """One domain to embed.

    Attributes:
        domain: It.
        grid: Its cells; None where all that is wanted is stored.
        recipe: All that may change the numbers of its embeddings.
        path: Where they are kept.
        stored: Those that are there.
        wanted: Windows to have in the end.
    """

    domain: Domain
    grid: Grid | None
    recipe: dict[str, Any]
    path: Path
    stored: DomainEmbeddings | None
    wanted: int

    @property
    def missing(self) -> int:
        """How many windows are yet to embed."""
        return max(0, self.wanted - (0 if self.stored is None else len(self.stored)))


def plan_embedding(
    domains: Sequence[Domain],
    tokenizer: Tokenizer,
    identity: ProxyIdentity,
    windows: WindowRecipe,
    num_samples: int,
    pieces: Pieces,
) -> list[Task]:
    """What there is to do to have `num_samples` windows of each domain, or all that it has.

    Args:
        domains: They.
        tokenizer, identity: The proxy's.
        windows: Which windows are cut.
        num_samples: How many.
        pieces: What is stored.

    Raises:
        InputError: A file of stored embeddings is damaged, or a domain's text cannot be read.
    """
    tasks = []
    bar = tqdm(domains, desc="measuring domains", unit="domain", delay=1, disable=None)
    for domain in bar:
        recipe = recipe_of(domain, identity, windows)
        path = pieces.directory / file_name(domain.name, recipe)
        stored = pieces.stored(path.name)
        if stored is not None and len(stored) >= min(num_samples, stored.available):
            tasks.append(Task(domain, None, recipe, path, stored, min(num_samples, stored.available)))
            continue
        with naming(domain.name):
            grid = lay_grid(domain.text, tokenizer, windows)
        tasks.append(Task(domain, grid, recipe, path, stored, min(num_samples, grid.num_windows)))
    return tasks


def find_stored(
    domains: Sequence[Domain],
    identity: ProxyIdentity,
    windows: WindowRecipe,
    pieces: Pieces,
) -> dict[str, DomainEmbeddings]:
    """What is stored of domains, of those of which anything is: nothing is embedded. See `plan_embedding`.

    Raises:
        InputError: A file of stored embeddings is damaged.
    """
    keys = keys_of(domains, identity, windows)
    stored = {name: pieces.stored(key) for name, key in keys.items()}
    return {name: each for name, each in stored.items() if each is not None}


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
    """By domain the name of its file, which stands for all that may change its numbers."""
    return {each.name: file_name(each.name, recipe_of(each, identity, windows)) for each in domains}


def plan_more(
    tasks: Sequence[Task],
    embedded: Mapping[str, DomainEmbeddings],
    wanted: Mapping[str, int],
    tokenizer: Tokenizer,
    windows: WindowRecipe,
) -> list[Task]:
    """What there is to do after tasks carried out to have `wanted` windows of each domain, or all it has.

    Args:
        tasks: They.
        embedded: What `embed` gave for them.
        wanted: Windows by domain.
        tokenizer, windows: As for `plan_embedding`.

    Raises:
        InputError: A domain's text cannot be read.
    """
    further = []
    for task in tasks:
        stored, number = embedded[task.domain.name], wanted[task.domain.name]
        grid = task.grid
        if grid is None and len(stored) < min(number, stored.available):
            with naming(task.domain.name):
                grid = lay_grid(task.domain.text, tokenizer, windows)
        further.append(replace(task, grid=grid, stored=stored, wanted=min(number, stored.available)))
    return further


@contextmanager
def naming(domain: str) -> Iterator[None]:
    """Say of which domain an error is."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith("domain ") else f"domain {domain}: {text}") from None
