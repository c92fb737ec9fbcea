"""What is asked of a law beside its runs: which losses count, and bounds of the weights.

Shapes: m losses, k domains.
"""

from dataclasses import dataclass, replace

import numpy as np

from chameleon.common.arrays import Array
from chameleon.common.errors import InputError
from chameleon.common.tables import listed
from chameleon.export.budget import Limits, project_shares, share_bounds
from chameleon.methods.options import MethodOptions
from chameleon.methods.token_counts import TokenCounts

# Rounding of sums of floors.
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Bounds:
    """(k,) floors and caps of the weights.

    Attributes:
        least, most: As asked for.
        importance: Of each domain's own loss, of which a mixture may have to keep a part; None for no such
            floors.
    """

    least: Array
    most: Array
    importance: Array | None = None

    def floors(self, kept: float) -> Array:
        """(k,) floors of mixtures that keep this part of each domain's importance as its share."""
        if self.importance is None:
            return self.least
        shares = (1 - self.least.sum()) * kept * self.importance
        return np.asarray(np.minimum(np.maximum(self.least, shares), self.most))

    def for_importance(
        self, names: tuple[str, ...], loss_names: tuple[str, ...], importance: Array
    ) -> "Bounds":
        """The same for (k,) names of domains and (m,) importance of the losses."""
        by_name = dict(zip(loss_names, importance.tolist(), strict=True))
        return replace(self, importance=np.array([by_name.get(name, 0.0) for name in names]))

    @property
    def baseline(self) -> Array:
        """(k,) uniform weights, as far as the bounds allow."""
        k = len(self.least)
        return project_shares(np.full(k, 1 / k), self.least, self.most)


def require_consistent(options: MethodOptions) -> None:
    """Raise InputError for flags of the law that do not go together, or a target that is missing."""
    target = options.target
    if target is not None and not target.exists():
        raise InputError(f"there is no file {target} (--target)")
    if target is not None and options.importance is not None:
        raise InputError(
            "--importance weighs the losses on domains, and --target counts alone; leave one out"
        )
    if target is not None and options.runs is not None:
        raise InputError(
            "--target needs models to measure, which --runs does not have; leave one of them out"
        )
    if options.num_runs is not None and options.num_runs < 2:
        raise InputError(f"--num_runs {options.num_runs}: a law needs at least 2 runs on different mixtures")


def importance_of(loss_names: tuple[str, ...], options: MethodOptions) -> Array:
    """(m,) how much each loss counts, summing to 1.

    Raises:
        InputError: --importance names a domain without a loss, or no loss counts.
    """
    asked = options.importance
    if asked is None:
        return np.full(len(loss_names), 1 / len(loss_names))
    for name in asked:
        if name and name not in loss_names:
            raise InputError(f"--importance names {name}, but losses are on {listed(loss_names, 20)}")
    counts = np.array([asked.get(name, asked.get("", 0.0)) for name in loss_names])
    if not counts.any():
        raise InputError("--importance: no domain counts; give one of them a number above 0")
    return np.asarray(counts / counts.sum())


def bounds_of(names: tuple[str, ...], options: MethodOptions, tokens: TokenCounts, natural: Array) -> Bounds:
    """Floors and caps by --min_weight, --prior_strength and --max_epochs.

    Args:
        names: (k,) domains.
        options: What was asked for.
        tokens: Tokens of the domains.
        natural: (k,) natural shares.

    Raises:
        InputError: No mixture is within them, or what they need is unknown.
    """
    if options.prior_strength and tokens.counts is None:
        raise InputError("--prior_strength needs the tokens of each domain; give --token_counts")
    least, most = share_bounds(
        names,
        Limits(
            budget=options.budget,
            counts=tokens.counts,
            max_epochs=options.max_epochs,
            min_weight=options.min_weight,
        ),
    )
    # A pull of strength p mixes in natural shares: (1 - p) w + p natural, which is at least p natural.
    least = np.maximum(least, options.prior_strength * natural)
    if least.sum() > 1 + _TINY or (least > most + _TINY).any():
        raise InputError(
            "no weights are within --min_weight, --prior_strength and --max_epochs together; lower one of "
            "them"
        )
    return Bounds(np.minimum(least, most), most)
