"""Text to arrays of tokens on disk, once for each domain and tokenizer, with held-out documents apart.

A document is held out if the hash of its text is below a share of all hashes. That depends on its text alone,
so it is the same for every run, copies are held out together, and a smaller share is part of a larger one.

If fewer than two documents of a domain fall below, those with the least hashes are held out as substitutes
(two of eight or more documents, one of two to seven), so that the domain can be measured. A substitute that
has a copy in another domain of the corpus is trained on after all, and so is one without which nothing would
be left to train on.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json, file_stem
from chameleon.proxy.tokenizer import ProxyTokenizer
from chameleon.text.corpora import Domain
from chameleon.training.packed_domain import FORMAT, PackedDomain
from chameleon.training.packer import Packer


def pack(
    domains: Sequence[Domain],
    tokenizer: ProxyTokenizer,
    directory: Path,
    heldout_share: float,
    for_training: bool = True,
) -> list[PackedDomain]:
    """Pack those domains that are not in `directory` yet.

    Processes that need the same domains wait for the one that packs. Memory does not grow with the text.

    Args:
        domains: Domains to pack.
        tokenizer: Encodes them; domains that already hold its tokens are taken as they are.
        directory: Directory of packed domains.
        heldout_share: Share of documents to hold out, 0 to 1.
        for_training: Whether to write training arrays, or held-out documents only.

    Raises:
        InputError: The text cannot be read, or the directory cannot be written.
    """
    packed = [_describe(each, tokenizer, directory, heldout_share) for each in domains]
    bound = round(heldout_share * (1 << 64))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / ".packing.lock"):
            missing = [i for i, each in enumerate(packed) if not each.is_packed(for_training)]
            if missing:
                packer = Packer([packed[i] for i in missing], tokenizer, bound, for_training)
                packer.pack([domains[i] for i in missing])
            _release_copies(packed, bound, for_training)
    except OSError as error:
        raise InputError(
            f"cannot pack text in {directory}: {error.strerror or error}; free some space there, or name "
            "another --packed_dir"
        ) from None
    return [each.with_counts() if for_training else each for each in packed]


def _release_copies(packed: Sequence[PackedDomain], bound: int, for_training: bool) -> None:
    """Train on substitutes that other domains have too; see the top of the module."""
    for domain in packed:
        heldout = domain.heldout()
        substitutes = heldout.hashes >= np.uint64(min(bound, (1 << 64) - 1))
        if not substitutes.any():
            continue
        others = [other.contains(heldout.hashes) for other in packed if other is not domain]
        copied = substitutes & np.any(others, axis=0)
        if not copied.any():
            continue
        released = heldout.subset(copied)
        domain.write_heldout(heldout.subset(~copied))
        if for_training:
            # Counts first: if interrupted here, they do not fit the array, and the domain is packed again.
            before = domain.with_counts()
            domain.write_counts(before.tokens + len(released.tokens), before.documents + len(released.ends))
            with domain.file(".bin").open("ab") as file:
                file.write(released.tokens.astype(domain.dtype).tobytes())


def _describe(domain: Domain, tokenizer: ProxyTokenizer, directory: Path, share: float) -> PackedDomain:
    """A domain to pack, its files named by all that determines its tokens."""
    recipe = {
        "format": FORMAT,
        "domain": domain.name,
        "text": domain.text.fingerprint,
        "version": domain.version,
        "tokenizer": tokenizer.digest,
        "direct": domain.text.tokenizer_digest,
        "heldout_share": share,
    }
    digest = digest_of_json(recipe)
    dtype = "<u2" if tokenizer.vocabulary <= 1 << 16 else "<u4"
    return PackedDomain(domain.name, directory / f"{file_stem(domain.name)}-{digest[:16]}", digest, dtype)
