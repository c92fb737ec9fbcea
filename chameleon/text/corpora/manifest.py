"""A manifest (a JSON file): domains from different sources and in different formats as one corpus.

{"tokenizer": "gpt2",
 "domains": [
   {"name": "law", "sources": ["law/*.jsonl.zst", "s3://bucket/law/"], "text_column": "body"},
   {"name": "code", "sources": ["code.bin"], "token_dtype": "uint16", "tokens": 1000000, "weight": 0.3},
   {"sources": ["owner/dataset"], "domain_column": "meta.source", "domain_names": {"w": "wiki"}}]}
"""

import difflib
import glob
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from chameleon.common.errors import InputError
from chameleon.common.files import local_path
from chameleon.text.corpora.builder import CorpusBuilder
from chameleon.text.corpora.corpus import Corpus, CorpusRequest, Domain
from chameleon.text.corpora.formats import FORMATS, domain_name, open_domain, open_labelled
from chameleon.text.corpora.hub import HUB_ID, domain_of_hub
from chameleon.text.corpora.saved_datasets import is_saved, open_saved
from chameleon.text.corpora.storage import File, files_at, is_remote
from chameleon.text.options import TOKEN_DTYPES

_TOP = {"tokenizer": str, "domains": list}
_OPTIONS = {"text_column", "domain_column", "subset", "split", "revision", "tokenizer", "token_dtype"}
_STRINGS = _OPTIONS | {"name", "format"}
_DOMAIN = {
    **dict.fromkeys(sorted(_STRINGS), str),
    "sources": (list, str),
    "domain_names": dict,
    "tokens": int,
    "weight": (int, float),
}
# Names in `Domain.facts` of what the user says of a domain.
_FACTS = {"tokens": "corpus_tokens", "weight": "weight_in_use"}


def open_manifest(request: CorpusRequest, path: Path) -> Corpus:
    """Open the corpus of a manifest; relative names in it start from the manifest's directory.

    Raises:
        InputError: It is malformed (names the key and the nearest valid one), or a domain cannot be opened.
    """
    content = read_manifest(path)
    builder = CorpusBuilder.of(request)
    domains: list[Domain] = []
    for number, entry in enumerate(content["domains"], 1):
        changes = {key: entry[key] for key in _OPTIONS & entry.keys()}
        changes.setdefault("tokenizer", content.get("tokenizer", request.tokenizer))
        part = builder.with_options(domain_names=entry.get("domain_names", {}), **changes)
        label = entry.get("name", f"domain {number}")
        try:
            opened = open_entry(part, entry, path.parent)
        except InputError as error:
            raise InputError(f"{path}, {label}: {error}") from None
        facts = {fact: entry[key] for key, fact in _FACTS.items() if key in entry}
        domains += [replace(each, facts={**each.facts, **facts}) for each in opened]
    names = [domain.name for domain in domains]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{path} has the domain {min(twice)} twice; rename one")
    return builder.corpus(domains, "manifest")


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and check a manifest.

    Raises:
        InputError: The file cannot be read or is malformed.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a manifest: malformed JSON ({str(error)[:100]})") from None
    where = "the manifest"
    try:
        _check_keys(content, _TOP)
        for number, entry in enumerate(content.get("domains", ()), 1):
            where = f"domain {number}"
            _check_keys(entry, _DOMAIN)
            if isinstance(entry.get("sources"), str):
                entry["sources"] = [entry["sources"]]
            _check_values(entry)
    except InputError as error:
        raise InputError(f"{path}, {where}: {error}") from None
    if not content.get("domains"):
        raise InputError(f'{path}: expected a list of domains in "domains", found none')
    checked: dict[str, Any] = content
    return checked


def _check_keys(content: Any, keys: dict[str, Any]) -> None:  # noqa: ANN401
    if not isinstance(content, dict):
        raise InputError(f"expected an object, got {type(content).__name__}")
    for key, value in content.items():
        if key not in keys:
            near = difflib.get_close_matches(key, keys, 1, 0.5)
            meant = f'did you mean "{near[0]}"?' if near else f"it takes {', '.join(keys)}"
            raise InputError(f"unknown key {json.dumps(key)[:80]}; {meant}")
        if not isinstance(value, keys[key]) or isinstance(value, bool):
            kinds = keys[key] if isinstance(keys[key], tuple) else (keys[key],)
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise InputError(f'expected {expected} in "{key}", got {json.dumps(value)[:80]}')


def _check_values(entry: dict[str, Any]) -> None:
    if "sources" not in entry:
        raise InputError('"sources" is missing; it lists files, directories or a hub id')
    if ("name" in entry) == ("domain_column" in entry):
        raise InputError('expected either a "name" or a "domain_column" that tells several domains apart')
    sources = entry["sources"]
    if not sources or not all(isinstance(each, str) and each and "\0" not in each for each in sources):
        raise InputError('"sources" must be names of files, directories or a hub dataset')
    for key in _STRINGS & entry.keys():
        if not entry[key] or any("\ud800" <= each <= "\udfff" for each in entry[key]):
            raise InputError(f'expected a name in "{key}", got {json.dumps(entry[key])}')
    for key, choices in (("format", FORMATS), ("token_dtype", TOKEN_DTYPES)):
        if key in entry and entry[key] not in choices:
            raise InputError(f'"{key}" is one of {", ".join(choices)}, got {entry[key]}')
    if not all(isinstance(name, str) and name for name in entry.get("domain_names", {}).values()):
        raise InputError('"domain_names" maps labels to names')
    if entry.get("tokens", 1) < 1 or not 0 <= entry.get("weight", 0) < float("inf"):
        raise InputError('"tokens" and "weight" must be above 0')


def open_entry(builder: CorpusBuilder, entry: dict[str, Any], root: Path) -> list[Domain]:
    """Open the domains of one entry of a manifest; relative names start from `root`.

    Raises:
        InputError: They cannot be opened.
    """
    name, column = entry.get("name", ""), entry.get("domain_column")
    sources = [_from(root, source) for source in entry["sources"]]
    if len(sources) == 1 and not is_remote(sources[0]):
        place = local_path(sources[0])
        if is_saved(place):
            return open_saved(builder.request, place, None if column else name)
        named = entry["sources"][0]
        may_be_of_hub = HUB_ID.fullmatch(named) and domain_name(named) == named.rpartition("/")[2]
        if not place.exists() and may_be_of_hub:
            return domain_of_hub(builder.with_options(dataset=named), name)
    files = [file for source in sources for file in _files(source)]
    if column is not None:
        return open_labelled(builder, builder.of_split(files, entry["sources"][0]), column)
    return [open_domain(builder, name, files, entry.get("format"))]


def _from(root: Path, source: str) -> str:
    return source if is_remote(source) else str(root / local_path(source))


def _files(source: str) -> list[File]:
    if is_remote(source) or not glob.has_magic(source) or local_path(source).exists():
        return files_at(source)
    matches = sorted(glob.glob(source, recursive=True))  # noqa: PTH207, a name may begin at the root
    if not matches:
        raise InputError(f"no file matches {source}")
    return [file for match in matches for file in files_at(match)]
