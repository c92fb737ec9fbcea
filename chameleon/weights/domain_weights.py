"""`DomainWeights`, the value that every method returns and every exporter, report and trainer takes.

`DomainFacts` and `Diagnostics` list what it records of each domain and of the whole, and which function
writes each key. docs/weights.schema.json is the schema of its JSON file.
"""

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypedDict

import numpy as np

from chameleon.common.arrays import Array, is_number
from chameleon.common.errors import InputError
from chameleon.common.files import unique_keys, write_atomically

FORMAT = "chameleon-weights/1"
UNIT = "share of tokens"

# The file of more domains than this has one line a domain: it is faster to write and half as long. Deeper
# objects and lists have a line an entry from this many entries on.
_INDENTED = 1000
_ON_ONE_LINE = 100


class DomainFacts(TypedDict, total=False):
    """What is known of one domain: an entry of "domains" in the weights file."""

    # Written by `chameleon.pipeline.describe.describe`; for weights of arrays the score by
    # `chameleon.weights.compute.weights_of`, over seeds the standard error by
    # `chameleon.methods.proxy_runs._standard_errors`.
    score: float  # leverage score, in [0, 1)
    standard_error: float  # of the weight
    interval: list[float]  # 95 % interval of the weight, [from, to]
    score_standard_error: float  # of the score
    score_interval: list[float]  # 95 % interval of the score, [from, to]
    source_weight: float  # weight of the domain's source
    share_within_source: float  # domain's share of its source
    weight_of_its_own: float  # by the scores alone, where ratios of earlier weights are kept
    # By `chameleon.export.budget.apply_limits`.
    raw_weight: float  # weight before limits, where they changed it
    tokens_at_hand: float  # tokens of the domain that limits are computed from
    epochs: float  # times that its tokens would be seen within the budget
    # By `chameleon.methods.regmix.method.weights_by_regmix`.
    spread_of_best: float  # standard deviation of the share among RegMix's best mixtures
    # By `chameleon.methods.law.verdict.describe`.
    law_weight: float  # weight of the best mixture by the law, where its gain is not certain
    law_standard_error: float  # of that weight
    # By `chameleon.pipeline.amounts.amounts_of`; for other methods the tokens of the whole domain and their
    # share by `chameleon.methods.outcome.method_weights`.
    windows: int  # windows embedded
    windows_available: int  # windows that the domain has in all, as far as known
    tokens: int  # tokens embedded, counted by the proxy's tokenizer
    corpus_tokens: int  # tokens of the whole domain, or as the manifest states them
    corpus_tokens_standard_error: int  # of that number; 0 for a count
    natural_share: float  # share of the tokens of all domains
    # By `chameleon.text.corpora.manifest.open_manifest`.
    weight_in_use: float  # share that the manifest says is trained with now


class Diagnostics(TypedDict, total=False):
    """What is known of the weights as a whole: "diagnostics" in the weights file."""

    # Written by `chameleon.weights.compute.weights_of`.
    effective_dimension: float  # sum of the scores
    way: str  # how scores of over 1,000 domains were computed, in words
    # By `chameleon.weights.many_domains.fourier.approximate_scores`.
    approximation: Mapping[str, Any]  # errors of approximate scores
    # By `chameleon.pipeline.describe.describe`.
    largest_standard_error: float  # of the weights
    enough_windows: bool  # whether that is within the target
    windows_needed: Mapping[str, int]  # windows of each domain that would be enough, where they are not
    order: list[dict[str, Any]]  # probability that of two domains the first truly weighs more
    errors: str  # where standard errors of over 1,000 domains are from, in words
    sensitivity: Mapping[str, Mapping[str, Any]]  # largest move of a weight by setting, block and seed
    sources: Mapping[str, Mapping[str, Any]]  # weight and number of domains of each source
    # By `chameleon.methods.cost.to_dict`.
    cost: Mapping[str, Any]  # operations, tokens and seconds of another method
    # By `chameleon.methods.proxy_runs.weights_by_proxies`.
    seeds: Mapping[str, Mapping[str, float]]  # weights of each seed of DoReMi or DoGE
    seeds_apart: float  # largest distance between the weights of two seeds
    # By `chameleon.methods.regmix.search.diagnostics`.
    regressor: str  # RegMix's regression
    relative_errors: Mapping[str, float]  # squared error of each on runs left out, over the variance
    rank_correlation: float  # between predicted and measured mean losses of runs left out
    rank_correlation_interval: list[float]  # its 95 % interval, [from, to]
    rank_correlations: Mapping[str, float]  # the same for each loss
    predicted_loss: float  # of the weights, nats a token, mean over targets
    predicted_loss_of_natural: float  # of the natural shares
    # Also by `chameleon.methods.law.verdict.describe`, which has the further ones.
    runs: int  # number of runs
    runs_diverged: list[str]  # names of the runs left out because they diverged
    verdict: str  # whether to use the law's weights, in a sentence
    gain: float  # by which the law's mean loss is expected to be below uniform's, in nats
    gain_standard_error: float  # of the gain
    gain_interval: list[
        float
    ]  # in which the measured gain of a run lies with a probability of 95 %, [from, to]
    slopes: Mapping[str, float]  # fall of each loss when its effective share grows by a factor e, in nats
    transfer: Mapping[str, float]  # constants of the most probable transfer matrix
    noise: float  # standard deviation of one loss about the law, in nats
    own_run: Mapping[str, Any]  # predicted and measured gain of a run on the law's own answer
    lengths: list[dict[str, Any]]  # tokens, weights and gain of runs of each length


@dataclass(frozen=True, eq=False)
class DomainWeights:
    """How much of each domain to train on. Compared by identity, since it holds an array.

    Attributes:
        names: (k,) domain names, each once.
        weights: (k,) float64 shares, not negative, that sum to 1.
        method: Method that computed them, such as "chameleon" or "regmix".
        mode: "pretrain", "finetune", or None for methods that do not tell these apart.
        unit: What a weight is a share of: training tokens.
        domains: Facts about each domain by name: `DomainFacts`, and what a file that was read has besides.
        diagnostics: Facts about the whole: `Diagnostics`, likewise.
        settings: Every setting in force.
        provenance: Where the numbers come from: corpus, proxy, versions.
        notices: What a reader must know before using the weights, one sentence each.
    """

    names: tuple[str, ...]
    weights: Array
    method: str
    mode: str | None = None
    unit: str = UNIT
    domains: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise InputError(f"each domain must be named once, got {', '.join(self.names)}")
        if self.weights.shape != (len(self.names),):
            raise InputError(f"{len(self.names)} domains have weights of shape {self.weights.shape}")
        if not (usable := np.isfinite(self.weights) & (self.weights >= 0)).all():
            at = int(np.argmin(usable))
            raise InputError(
                f"each weight must be a share from 0 to 1, that of {self.names[at]} is {self.weights[at]:g}"
            )
        total = float(self.weights.sum())
        if abs(total - 1) > 1e-6:
            raise InputError(f"weights must be shares that sum to 1, these sum to {total:.9g}")

    def by_name(self) -> dict[str, float]:
        """Weight of each domain as plain Python numbers, in the order of `names`."""
        return dict(zip(self.names, self.weights.tolist(), strict=True))

    def to_dict(self, date: datetime | None = None) -> dict[str, Any]:
        """The content of the weights file: JSON types only. `date` is now by default.

        The facts of domains are not copied: of a million they would take half a gigabyte once more.
        """
        domains = {
            name: facts if isinstance(facts := self.domains.get(name, {}), dict) else dict(facts)
            for name in self.names
        }
        return {
            "weights": self.by_name(),
            "format": FORMAT,
            "method": self.method,
            "mode": self.mode,
            "unit": self.unit,
            "domains": domains,
            "scores": {name: facts["score"] for name, facts in domains.items() if "score" in facts},
            "diagnostics": dict(self.diagnostics),
            "settings": dict(self.settings),
            "provenance": dict(self.provenance),
            "notices": list(self.notices),
            "date": (date or datetime.now(UTC)).isoformat(timespec="seconds"),
        }

    def to_json(self) -> str:
        """The text of the weights file."""
        return self._encoded().decode()

    def _encoded(self) -> bytes:
        """The bytes of the weights file, without any other copy of them."""
        if len(self.names) <= _INDENTED:
            return (json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
        encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
        content = io.BytesIO()
        content.writelines(piece.encode() for piece in _lines(self.to_dict(), encode))
        content.write(b"\n")
        return content.getvalue()

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; only `weights` must be there.

        Raises:
            InputError: There is no object `weights` from names to numbers that are shares, or
                something else in it is not what it must be.
        """
        if not isinstance(content, Mapping):
            raise InputError("expected a JSON object at the top")
        if content.get("format", FORMAT) != FORMAT:
            raise InputError(f"expected the format {FORMAT}, got {content['format']}")
        weights = content.get("weights")
        if not _is_mapping(weights, is_number):
            raise InputError('expected an object "weights" from domain names to numbers at the top')
        assert weights is not None
        facts = {key: value for key, value in content.items() if key in _FACTS}
        for key, value in facts.items():
            expected, is_so = _FACTS[key]
            if not is_so(value):
                raise InputError(f'expected "{key}" to be {expected}, got {value!r:.80}')
        if "notices" in facts:
            facts["notices"] = tuple(facts["notices"])
        try:
            shares = np.array(list(weights.values()), dtype=np.float64)
        except OverflowError:
            raise InputError("expected weights from 0 to 1, got one with hundreds of digits") from None
        return cls(names=tuple(weights), weights=shares, **{"method": "unknown", **facts})

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the weights file, whole or not at all.

        Raises:
            InputError: The file cannot be written.
        """
        write_atomically(Path(path), self._encoded())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a weights file.

        Raises:
            InputError: The file cannot be read or is no weights file.
        """
        try:
            content = Path(path).read_bytes()
            text = content.decode(json.detect_encoding(content), "surrogatepass")
            del content  # of a million domains half a gigabyte
            return cls.from_dict(json.loads(text, object_pairs_hook=unique_keys))
        except OSError as error:
            raise InputError(f"cannot read the weights file {path}: {error.strerror}") from None
        except RecursionError:
            raise InputError(f"{path} is not a weights file: it is nested too deeply") from None
        except ValueError as error:
            raise InputError(f"{path} is not a weights file: {error}") from None


def _is_mapping(value: object, holds: Callable[[Any], bool] = lambda value: True) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and holds(each) for name, each in value.items()
    )


# What a weights file holds beside the weights, and what each must be.
_FACTS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "method": ("a text", lambda value: isinstance(value, str)),
    "mode": ("a text or null", lambda value: value is None or isinstance(value, str)),
    "unit": (f'"{UNIT}"', lambda value: value == UNIT),
    "domains": ("an object of an object for each domain", lambda value: _is_mapping(value, _is_mapping)),
    "diagnostics": ("an object", _is_mapping),
    "settings": ("an object", _is_mapping),
    "provenance": ("an object", _is_mapping),
    "notices": (
        "a list of texts",
        lambda value: isinstance(value, list | tuple) and all(isinstance(each, str) for each in value),
    ),
}


def _lines(value: Any, encode: Callable[[Any], str], depth: int = 0) -> Iterator[str]:  # noqa: ANN401
    """The text of a JSON value in pieces, a line for each entry of what is large or at the top."""
    if (
        not isinstance(value, dict | list | tuple)
        or not value
        or not (depth < 2 or len(value) > _ON_ONE_LINE)
    ):
        yield encode(value)
        return
    is_object = isinstance(value, dict)
    begin, indent = "{" if is_object else "[", "  " * (depth + 1)
    for entry in value:
        yield f"{begin}\n{indent}{encode(entry)}: " if is_object else f"{begin}\n{indent}"
        yield from _lines(value[entry] if is_object else entry, encode, depth + 1)
        begin = ","
    yield f"\n{'  ' * depth}{'}' if is_object else ']'}"
