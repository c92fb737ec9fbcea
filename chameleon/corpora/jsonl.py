"""A directory with one JSON Lines file, or one sub-directory of them, for each domain."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from chameleon.corpora.corpus import Corpus, Domain, TextIndex
from chameleon.errors import InputError
from chameleon.files import is_utf8

TEXT_FIELD = "text"
SUFFIX = ".jsonl"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, eq=False)
class JsonLinesBlocks:
    """Blocks of whole lines: block i is the bytes `begin` to `end` of a file."""

    blocks: tuple[tuple[Path, int, int], ...]
    skip_bad_lines: bool

    def documents(self, block: int) -> list[bytes]:
        """The texts of the block's lines."""
        path, begin, end = self.blocks[block]
        try:
            with path.open("rb") as file:
                file.seek(begin)
                lines = file.read(end - begin).split(b"\n")
        except OSError as error:
            raise InputError(f"{path} changed while it was read ({error.strerror}); run again") from None
        texts = []
        for line in lines:
            try:
                texts.append(text_of_line(line))
            except ValueError as error:
                if not self.skip_bad_lines:
                    raise InputError(f"{path} changed while it was read ({error}); run again") from None
        return [text for text in texts if text]


def open_directory(directory: Path, skip_bad_lines: bool = False) -> Corpus:
    """A corpus of the directory's domains, every line of them read once and checked.

    Args:
        directory: Holds `<domain>.jsonl` files and sub-directories `<domain>/` with any number of
            `.jsonl` files at any depth, taken in the order of their paths. Each line is an object
            with the document in its field "text"; blank lines and empty texts count for nothing.
        skip_bad_lines: Leave out and count lines that cannot be used, rather than raise.

    Raises:
        InputError: The directory holds no domains or something that cannot be read, or a line is
            malformed, not UTF-8 or without text (names the file and line).
    """
    files = files_of_domains(directory)
    total = sum(path.stat().st_size for paths in files.values() for path in paths)
    domains, skipped, notices = [], {}, []
    with tqdm(total=total, desc="reading corpus", unit="B", unit_scale=True, delay=1, disable=None) as bar:
        for name, paths in files.items():
            domain, bad = _scan(name, paths, skip_bad_lines, bar.update)
            domains.append(domain)
            if bad:
                skipped[name] = len(bad)
                notices.append(f"{name}: {len(bad)} bad lines left out, the first is {bad[0]}")
    provenance = {"kind": "jsonl directory", "skipped_lines": skipped}
    return Corpus(str(directory), tuple(domains), provenance, tuple(notices))


def files_of_domains(directory: Path) -> dict[str, list[Path]]:
    """The files of each domain, domains in alphabetical order.

    Raises:
        InputError: Nothing is there, or a file of another kind is, or two things claim one name.
    """
    files: dict[str, list[Path]] = {}
    for entry in sorted(directory.iterdir()):
        if _is_beside_the_data(entry):
            continue
        found = [path for path in _files_below(entry) if not _is_beside_the_data(path)]
        for path in found:
            if path.suffix != SUFFIX or not path.is_file():
                raise InputError(
                    f"expected {SUFFIX} files in {directory}, one a domain or one sub-directory of them a "
                    f"domain, found {path.relative_to(directory)}; move it out, or convert it"
                )
        name = entry.name if entry.is_dir() else entry.name.removesuffix(SUFFIX)
        if not is_utf8(name):
            raise InputError(f"{directory}: the file name {os.fsencode(name)!r} is not UTF-8; rename it")
        if name in files:
            raise InputError(f"{directory} holds both {name}{SUFFIX} and {name}/: rename or join them")
        if not found:
            raise InputError(f"{entry} holds no {SUFFIX} files; remove it, or give the domain some text")
        files[name] = found
    if not files:
        raise InputError(
            f"{directory} is empty; expected one {SUFFIX} file, or one sub-directory of them, for each domain"
        )
    return dict(sorted(files.items()))


def _files_below(entry: Path) -> list[Path]:
    """The entry itself, or all that is below it and no directory, links followed, hidden things left out."""
    if not entry.is_dir():
        return [entry]
    found, seen = [], set()
    for folder, subfolders, names in os.walk(entry, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen:  # a link that leads up
            subfolders.clear()
            continue
        seen.add(place)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [Path(folder) / name for name in names]
    return sorted(found)


def text_of_line(line: bytes) -> bytes:
    """The document of a line as UTF-8, empty where there is nothing but white space.

    Raises:
        ValueError: The line cannot be used; the message says why.
    """
    try:
        content = line.removeprefix(_BYTE_ORDER_MARK).decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: byte 0x{line[error.start]:02x} in column {error.start + 1}") from None
    if not content:
        return b""
    try:
        record = json.loads(content)
    except json.JSONDecodeError as error:
        raise ValueError(f"malformed JSON: {error.msg} in column {error.colno}") from None
    except RecursionError:
        raise ValueError("malformed JSON: nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError(f'expected an object with a field "{TEXT_FIELD}", got {type(record).__name__}')
    if TEXT_FIELD not in record:
        found = ", ".join(map(str, record)) or "none"
        raise ValueError(f'expected a field "{TEXT_FIELD}", found the fields {found[:200]}')
    text = record[TEXT_FIELD]
    if not isinstance(text, str):
        raise ValueError(f'expected a string in the field "{TEXT_FIELD}", got {json.dumps(text)[:80]}')
    try:
        return text.encode() if text.strip() else b""
    except UnicodeEncodeError:
        raise ValueError(
            f'the field "{TEXT_FIELD}" holds half of a surrogate pair, which is no text'
        ) from None


def _is_beside_the_data(path: Path) -> bool:
    """Whether it is something that people keep next to data, and no data itself."""
    if path.name.startswith("."):
        return True
    told_apart = path.name.startswith(("_", "README", "LICENSE")) or path.suffix == ".md"
    return told_apart and path.suffix != SUFFIX and not path.is_dir()


def _scan(
    name: str, paths: list[Path], skip_bad_lines: bool, progress: Callable[[int], object]
) -> tuple[Domain, list[str]]:
    index = TextIndex()
    blocks: list[tuple[Path, int, int]] = []
    bad = []
    for path in paths:
        begin = end = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                end += len(line)
                progress(len(line))
                try:
                    text = text_of_line(line)
                except ValueError as error:
                    bad.append(f"{path}, line {number}: {error}")
                    if not skip_bad_lines:
                        advice = "mend it, or pass --skip_bad_lines to leave such lines out"
                        raise InputError(f"{bad[0]}; {advice}") from None
                    continue
                if text and index.add(text):
                    blocks.append((path, begin, end))
                    begin = end
        index.close_block()
        blocks.append((path, begin, end))
    reader = JsonLinesBlocks(tuple(blocks), skip_bad_lines)
    return Domain(name, reader, index.starts, index.num_documents, index.fingerprint), bad
