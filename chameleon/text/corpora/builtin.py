"""The built-in corpus: seven domains of text from the Python environment, for a first run without a hub.

Sources, headers, stubs, docstrings, the language manual, package descriptions and licences of the running
interpreter and the installed packages. It is real text, but nobody wants to train on it: it lets the whole
method run without any data. Its content and fingerprint depend on the environment.
"""

import ast
import hashlib
import os
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from chameleon.common.errors import InputError
from chameleon.text.corpora.corpus import Corpus, Domain
from chameleon.text.corpora.indexed import TextIndex

# Enough for some hundreds of windows per domain, and read in a second or two.
MAX_DOMAIN_BYTES = 1 << 20
_MAX_FILE_BYTES = 1 << 18
_SKIPPED_FOLDERS = {"test", "tests", "testing", "idle_test", "site-packages", "dist-packages", "__pycache__"}


@dataclass(frozen=True, eq=False)
class TextBlocks:
    """Blocks of documents in memory."""

    blocks: tuple[tuple[bytes, ...], ...]

    def documents(self, block: int) -> Sequence[bytes]:
        """The documents of the block."""
        return self.blocks[block]


def open_builtin() -> Corpus:
    """Open the built-in corpus: at most 1 MiB of text per domain, in memory.

    Raises:
        InputError: The environment has no text for one of the domains.
    """
    roots = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    installed = _files_below(*map(Path, roots))
    kinds = tqdm(_DOMAINS.items(), desc="reading environment", unit="domain", delay=1, disable=None)
    domains = tuple(domain_of_texts(name, documents(installed)) for name, documents in kinds)
    return Corpus("builtin", domains, {"kind": "text of the Python environment"})


def domain_of_texts(name: str, texts: Iterable[str]) -> Domain:
    """A domain of documents given as strings, up to `MAX_DOMAIN_BYTES`, without duplicates."""
    index = TextIndex()
    blocks: list[tuple[bytes, ...]] = []
    block: list[bytes] = []
    seen: set[bytes] = set()
    size = 0
    for text in texts:
        document = text.encode(errors="replace")
        digest = hashlib.sha256(document).digest()
        if not text.strip() or digest in seen:
            continue
        seen.add(digest)
        block.append(document)
        size += len(document)
        if index.add(document):
            blocks.append(tuple(block))
            block = []
        if size >= MAX_DOMAIN_BYTES:
            break
    index.close_block()
    blocks.append(tuple(block))
    if not index.num_documents:
        raise InputError(f"no text in domain {name}")
    return Domain(name, index.text(TextBlocks(tuple(blocks))))


def _docstrings(installed: "Files") -> Iterator[str]:
    """Docstrings of installed packages, one document per module; `python` has the standard library's."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for source in _texts(installed.of_suffix(".py")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        docstrings = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented))
        yield "\n\n".join(text for text in docstrings if text and len(text) > 80)


def _manual(_: "Files") -> Iterator[str]:
    from pydoc_data.topics import topics

    return (topics[name] for name in sorted(topics))


def _descriptions(installed: "Files") -> Iterator[str]:
    # Mail headers, an empty line, then the description.
    return (text.partition("\n\n")[2] for text in _texts(installed.named("METADATA")))


_DOMAINS: dict[str, Callable[["Files"], Iterator[str]]] = {
    "cpp_headers": lambda installed: _texts(installed.of_suffix(".h")),
    "docstrings": _docstrings,
    "licences": lambda installed: _texts(installed.named("LICEN", "COPYING", "NOTICE", "THIRD")),
    "manual": _manual,
    "package_descriptions": _descriptions,
    "python": lambda _: _texts(_files_below(Path(sysconfig.get_path("stdlib"))).of_suffix(".py")),
    "type_stubs": lambda installed: _texts(installed.of_suffix(".pyi")),
}


@dataclass(frozen=True)
class Files:
    """Files of directory trees, in an order that is independent of their names' meaning."""

    paths: tuple[Path, ...]

    def of_suffix(self, suffix: str) -> list[Path]:
        """The files with a suffix."""
        return [path for path in self.paths if path.suffix == suffix]

    def named(self, *beginnings: str) -> list[Path]:
        """Files of packages' metadata whose names begin so, in capitals or not."""
        return [
            path
            for path in self.paths
            if any(part.endswith(".dist-info") for part in path.parts)
            and path.name.upper().startswith(beginnings)
        ]


def _files_below(*roots: Path) -> Files:
    paths = {}
    for root in roots:
        for folder, subfolders, names in os.walk(root):
            subfolders[:] = [name for name in subfolders if name not in _SKIPPED_FOLDERS]
            paths.update({f"{folder}/{name}".removeprefix(f"{root}/"): f"{folder}/{name}" for name in names})
    by_chance = sorted(paths, key=lambda name: hashlib.sha256(name.encode()).digest())
    return Files(tuple(Path(paths[name]) for name in by_chance))


def _texts(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if path.stat().st_size <= _MAX_FILE_BYTES:
            yield path.read_text(encoding="utf-8", errors="replace")
