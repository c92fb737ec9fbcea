"""From a request to a plan: weights within the limits, further stages, and where each domain is."""

from collections.abc import Mapping
from dataclasses import dataclass

from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.export.budget import Limits, apply_limits
from chameleon.export.formats import FormatSpec, format_spec
from chameleon.export.mixture import Stage
from chameleon.export.options import ExportRequest
from chameleon.export.parse import fact_numbers, parse_number, read_token_counts
from chameleon.export.sources import TrainerSource, read_sources
from chameleon.weights.domain_weights import DomainWeights

_PROXY_TOKENS = "available tokens are counted with the proxy's tokenizer; the trainer's may differ"

_OTHER_TOKENS = (
    "the token counts are of another tokenizer than the proxy's: epochs are in its tokens, but weights were "
    "computed with the proxy's"
)


@dataclass(frozen=True, eq=False)
class ExportPlan:
    """What a trainer's file is to hold.

    Attributes:
        spec: The format.
        stages: Weights within the limits: one stage, or with --then two.
        sources: Where the trainer finds each domain.
        seed: Seed of the trainer's draws.
        notes: What the user should know, a sentence each.
    """

    spec: FormatSpec
    stages: tuple[Stage, ...]
    sources: Mapping[str, TrainerSource]
    seed: int
    notes: tuple[str, ...]

    @property
    def weights(self) -> DomainWeights:
        """Weights of the first stage."""
        return self.stages[0].weights


def plan_export(request: ExportRequest, weights: DomainWeights) -> ExportPlan:
    """Read the files of a request and apply its limits.

    Raises:
        InputError: A file cannot be read, no weights are within the limits (see `apply_limits`), or --then
            and --at do not fit each other or the weights.
    """
    spec = format_spec(request.format)
    first, notes = _limited(request, weights)
    stages = [Stage(0, first)]
    if (request.then is None) != (request.at is None):
        raise InputError(
            "--then and --at belong together: the weights of the second stage, and its first step"
        )
    if request.then is not None and request.at is not None:
        if request.at < 1:
            raise InputError("--at 0 leaves nothing of the first stage; give a step of at least 1")
        second, more_notes = _limited(request, DomainWeights.read(request.then))
        if set(second.names) != set(weights.names):
            raise InputError(
                f"{request.then} has weights for {listed(second.names)}, the first weights file for "
                f"{listed(weights.names)}; both must be of the same domains"
            )
        stages.append(Stage(request.at, second))
        notes = tuple(dict.fromkeys((*notes, *more_notes)))
    sources = read_sources(weights.names, request.sources, request.tokens_per_row)
    return ExportPlan(spec, tuple(stages), sources, request.seed, notes)


def _limited(request: ExportRequest, weights: DomainWeights) -> tuple[DomainWeights, tuple[str, ...]]:
    """Weights within the limits of a request, and notes on them."""
    counts: dict[str, float] | None = None
    notes: tuple[str, ...] = ()
    if request.budget or request.max_epochs or request.prior_strength:
        counts, notes = _available_tokens(request, weights)
    limits = Limits(
        budget=request.budget,
        counts=counts,
        max_epochs=request.max_epochs,
        min_weight=request.min_weight,
        prior_strength=request.prior_strength,
    )
    return apply_limits(weights, limits), notes


def _available_tokens(
    request: ExportRequest, weights: DomainWeights
) -> tuple[dict[str, float] | None, tuple[str, ...]]:
    """Available tokens of each domain, None where they are unknown, and notes on them."""
    if request.token_counts is None:
        known = zip(weights.names, fact_numbers(weights, "corpus_tokens", 1), strict=True)
        counts = {name: count for name, count in known if count is not None}
        return (counts, (_PROXY_TOKENS,)) if len(counts) == len(weights.names) else (None, ())
    content, digest = read_token_counts(request.token_counts)
    counts = {
        name: parse_number(content[name], f"--token_counts: that of {name}", 1, accepts_text=False)
        for name in weights.names
        if name in content
    }
    proxy = weights.provenance.get("proxy")
    proxy_digest = proxy.get("tokenizer_digest") if isinstance(proxy, Mapping) else None
    is_other = None not in (digest, proxy_digest) and digest != proxy_digest
    return counts, (_OTHER_TOKENS,) if is_other else ()
