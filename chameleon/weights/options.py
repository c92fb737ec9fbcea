"""All that can be asked of the step from embeddings to weights: recipes, settings and their flags."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from chameleon.common.flags import flag

Mode = Literal["pretrain", "finetune"]
Kernel = Literal["rbf", "linear"]

# RBF scores of up to this many domains are exact by default: 7.2 GB, 3 minutes on two cores.
EXACT_UP_TO = 30_000


@dataclass(frozen=True)
class WeightRecipe:
    """Named defaults of the weight computation.

    Attributes:
        kernel: Affinity between domains.
        ridge: k lambda, for recipes that fix it whatever the number of domains k; else None.
        lambda_reg: lambda, for recipes that fix that instead; else None.
        scale_temperature: Whether temperatures are stated for 7 domains and scaled to k
            (`chameleon.weights.softmax.scaled_temperature`).
        takes_noise_off: Whether RBF distances are corrected for sampling noise
            (`chameleon.weights.affinity.rbf_affinity`).
        pretrain_temperature, finetune_temperature: T of the softmax.
    """

    kernel: Kernel
    ridge: float | None
    lambda_reg: float | None
    scale_temperature: bool
    takes_noise_off: bool
    pretrain_temperature: float = 5.0
    finetune_temperature: float = 0.2


RECIPES: Mapping[str, WeightRecipe] = {
    # The ridge is half of a domain's affinity with itself, whatever k.
    "default": WeightRecipe(
        kernel="rbf", ridge=0.5, lambda_reg=None, scale_temperature=True, takes_noise_off=True
    ),
    # The method's published code.
    "released": WeightRecipe(
        kernel="linear", ridge=None, lambda_reg=10.0, scale_temperature=False, takes_noise_off=False
    ),
}

# Flags of the settings but --mode, for `add_flags`.
WEIGHT_FLAGS = {
    "weights": "recipe kernel rbf_sigma lambda_reg pt_temperature ft_temperature exact_up_to num_features"
}


@dataclass(frozen=True, kw_only=True)
class FormulaSettings:
    """Settings of the formula from domain means to weights, named like their flags.

    `chameleon.weights.formula.Formula.of` checks them and fills in the recipe's values.

    Attributes:
        rbf_sigma: In the unit of the embeddings.
        lambda_reg: lambda > 0; the ridge is k lambda.
        device: Where exact RBF scores of thousands of domains are computed: cpu, a CUDA device, or auto.
        others: As the help of the flags says.
    """

    mode: Mode = flag(
        "pretrain",
        "training that the weights are for: pretrain favours domains that share most with the others, "
        "finetune those that share least (default: pretrain)",
    )
    recipe: str = flag(
        "default",
        "defaults of the flags below (default: default: RBF kernel, k lambda = 1/2, temperatures scaled to "
        "the number of domains k). released: the published code: linear kernel, lambda 10, temperatures as "
        "stated",
        choices=tuple(RECIPES),
    )
    kernel: Kernel | None = flag(
        None,
        "affinity between domains (default: the recipe's, rbf). linear is the published method's; its "
        "lambda has the scale of the embeddings squared",
    )
    rbf_sigma: float | None = flag(
        None,
        "width of the RBF kernel (default: the median distance between domains). Set it to compare several "
        "corpora at one width",
        metavar="S",
    )
    lambda_reg: float | None = flag(
        None,
        "regularisation of the leverage scores (default: the recipe's, 1/(2k) for k domains). Larger values "
        "smooth over near-equal domains",
        metavar="L",
    )
    pt_temperature: float | None = flag(
        None,
        "softmax temperature of pretrain weights, stated for 7 domains (default: 5). Higher is flatter",
        metavar="T",
    )
    ft_temperature: float | None = flag(
        None,
        "softmax temperature of finetune weights, stated for 7 domains (default: 0.2). Higher is flatter",
        metavar="T",
    )
    exact_up_to: int | None = flag(
        None,
        f"compute RBF scores of up to N domains exactly, of more approximately (default: {EXACT_UP_TO:,}). "
        "Exact scores take 8 N^2 bytes",
    )
    num_features: int | None = flag(
        None,
        "random features of approximate scores (default: 40 times the effective dimension, from 512 to "
        "4,096). Raise it where a notice says that scores are far off",
        metavar="D",
    )
    device: str = "cpu"
