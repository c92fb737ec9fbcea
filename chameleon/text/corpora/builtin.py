"""Seven domains of the text that every Python environment holds, for a first run without a hub.

Sources, headers, stubs, docstrings, the language manual, package descriptions and licences of the
running interpreter and of what is installed beside it. It is real text, but not the text that
anyone wants to train on: it lets the whole method run from nothing, and is what tests and first
looks use. What it holds depends on the environment, so its fingerprint does too.
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

# Enough for some hundreds of windows a domain, and read in a second or two.
MAX_DOMAIN_BYTES = 1 << 20


_MAX_FILE_BYTES = 1 << 18


_LEFT_OUT = {"test", "tests", "testing", "idle_test", "site-packages", "dist-packages", "__pycache__"}


@dataclass(frozen=True, eq=False)
class TextBlocks:
    """Blocks of documents that are held in memory."""

    blocks: tuple[tuple[bytes, ...], ...]

    def documents(self, block: int) -> Sequence[bytes]:
        """The documents of the block."""
        return self.blocks[block]


def open_builtin() -> Corpus:
    """The built-in corpus: at most 1 MiB of text a domain, held in memory.

    Raises:
        InputError: The environment lacks one of the domains altogether.
    """
    places = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    installed = _found_below(*map(Path, places))
    kinds = tqdm(_DOMAINS.items(), desc="reading environment", unit="domain", delay=1, disable=None)
    domains = tuple(domain_of_texts(name, documents(installed)) for name, documents in kinds)
    return Corpus("builtin", domains, {"kind": "text of the Python environment"})


def domain_of_texts(name: str, texts: Iterable[str]) -> Domain:
    """A domain of documents given as strings, up to `MAX_DOMAIN_BYTES` of them, each text once."""
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


def _python_sources(_: "Files") -> Iterator[str]:
    stdlib = Path(sysconfig.get_path("stdlib"))
    return _texts(_found_below(stdlib).of_suffix(".py"))


def _docstrings(installed: "Files") -> Iterator[str]:
    """Docstrings of installed packages, one document a module; `python` is the standard library."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for source in _texts(installed.of_suffix(".py")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented)]
        yield "\n\n".join(text for text in found if text and len(text) > 80)


def _headers(installed: "Files") -> Iterator[str]:
    return _texts(installed.of_suffix(".h"))


def _stubs(installed: "Files") -> Iterator[str]:
    return _texts(installed.of_suffix(".pyi"))


def _manual(_: "Files") -> Iterator[str]:
    from pydoc_data.topics import topics

    return (topics[name] for name in sorted(topics))


def _descriptions(installed: "Files") -> Iterator[str]:
    for text in _texts(installed.named("METADATA")):
        # Mail headers, an empty line, then the description.
        yield text.partition("\n\n")[2]


def _licences(installed: "Files") -> Iterator[str]:
    return _texts(installed.named("LICEN", "COPYING", "NOTICE", "THIRD"))


_DOMAINS: dict[str, Callable[["Files"], Iterator[str]]] = {
    "cpp_headers": _headers,
    "docstrings": _docstrings,
    "licences": _licences,
    "manual": _manual,
    "package_descriptions": _descriptions,
    "python": _python_sources,
    "type_stubs": _stubs,
}


@dataclass(frozen=True)
class Files:
    """Files of a directory tree, in an order that has nothing to do with their names."""

    paths: tuple[Path, ...]

    def of_suffix(self, suffix: str) -> list[Path]:
        """Those that end so."""
        return [path for path in self.paths if path.suffix == suffix]

    def named(self, *beginnings: str) -> list[Path]:
        """Those of packages' own descriptions whose names begin so, in capitals or not."""
        return [
            path
            for path in self.paths
            if any(part.endswith(".dist-info") for part in path.parts)
            and path.name.upper().startswith(beginnings)
        ]


def _found_below(*roots: Path) -> Files:
    found = {}
    for root in roots:
        for folder, subfolders, names in os.walk(root):
            subfolders[:] = [name for name in subfolders if name not in _LEFT_OUT]
            for name in names:
                path = f"{folder}/{name}"
                found[path.removeprefix(f"{root}/")] = path
    by_chance = sorted(found, key=lambda name: hashlib.sha256(name.encode()).digest())
    return Files(tuple(Path(found[name]) for name in by_chance))


def _texts(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if path.stat().st_size <= _MAX_FILE_BYTES:
            yield path.read_text(encoding="utf-8", errors="replace")
