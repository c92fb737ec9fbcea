"""Text to arrays of tokens on disk, once for each domain and tokenizer; held-out documents apart.

A document is held out if the hash of its text is below a share of all hashes: a function of its text
alone, so that it is the same for every run, copies are held out together, and a smaller share is part
of a larger one. Of a domain in which fewer than two fall below, those with the least hashes are held out in
their place, two of eight or more and one of two or more, so that it can be measured; unless a
copy of them is in another domain of the corpus, or nothing would be left to train on.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from chameleon.common.errors import InputError
from chameleon.common.files import digest_of_json, file_stem
from chameleon.text.corpora import Domain
from chameleon.training.packed_domain import FORMAT, PackedDomain, write_heldout
from chameleon.training.packer import Packer, PackingTokenizer


def pack(
    domains: Sequence[Domain],
    tokenizer: PackingTokenizer,
    directory: Path,
    heldout_share: float,
    for_training: bool = True,
) -> list[PackedDomain]:
    """The domains' tokens, from `directory` so far as they are there, else packed now.

    Processes that want the same wait for the one that packs. Memory does not grow with the text.

    Args:
        domains: What to pack.
        tokenizer: By which; domains that hold its tokens already are taken as they are.
        directory: Where to.
        heldout_share: Share of documents to hold out, 0 to 1.
        for_training: Whether the training arrays are wanted, or only what is held out.

    Raises:
        InputError: The text cannot be read, or the directory cannot be written.
    """
    packed = [_packed(domain, tokenizer, directory, heldout_share) for domain in domains]
    bound = round(heldout_share * (1 << 64))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / ".packing.lock"):
            missing = [i for i, each in enumerate(packed) if not each.is_there(for_training)]
            if missing:
                some = [packed[i] for i in missing]
                Packer(some, tokenizer, bound, for_training).pack([domains[i] for i in missing])
            _release_copies(packed, bound, for_training)
    except OSError as error:
        raise InputError(
            f"cannot pack text in {directory}: {error.strerror or error}; free some space there, or name "
            "another --packed_dir"
        ) from None
    return [each.counted() if for_training else each for each in packed]


def _release_copies(packed: Sequence[PackedDomain], bound: int, for_training: bool) -> None:
    """Train on documents that were held out only in place of others, where another domain has them too."""
    for domain in packed:
        heldout = domain.heldout()
        in_place = heldout.hashes >= np.uint64(min(bound, (1 << 64) - 1))
        copied = np.zeros(len(heldout.hashes), dtype=bool)
        for other in packed:
            if other is not domain and in_place.any():
                copied |= in_place & other.holds_any(heldout.hashes)
        if not copied.any():
            continue
        released = heldout.subset(copied)
        write_heldout(domain, heldout.subset(~copied))
        if for_training:
            # Should this be broken off here, the array is not of the length that its counts say.
            tokens, documents = len(released.tokens), len(released.ends)
            before = domain.counted()
            domain.write_counts(before.tokens + tokens, before.documents + documents)
            with domain.file(".bin").open("ab") as file:
                file.write(released.tokens.astype(domain.dtype).tobytes())


def _packed(domain: Domain, tokenizer: PackingTokenizer, directory: Path, share: float) -> PackedDomain:
    """What is to be packed of a domain, named by all that makes its tokens."""
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
