"""All that can be asked of the step from embeddings to weights: recipes, settings and their flags."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from chameleon.common.command_line import positive_int, positive_number

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


@dataclass(frozen=True, kw_only=True)
class FormulaSettings:
    """Settings of the formula from domain means to weights, named like their flags.

    `chameleon.weights.formula.Formula.of` checks them and fills in the recipe's values.

    Attributes:
        mode: "pretrain" (raise domains that share most with the others) or "finetune" (those that share
            least).
        recipe: Name of the `RECIPES` entry that settings of None are taken from.
        kernel: "rbf" or "linear".
        rbf_sigma: Width of the RBF kernel in the unit of the embeddings; None for the median distance
            between domains.
        lambda_reg: Regularisation lambda > 0; the ridge is k lambda.
        pt_temperature, ft_temperature: T of the softmax in either mode, as stated for 7 domains.
        exact_up_to: RBF scores of more domains than this are approximate; None for `EXACT_UP_TO`.
        num_features: Random features of approximate scores; None for 40 times the effective dimension.
        device: Where exact RBF scores of thousands of domains are computed: cpu, a CUDA device, or auto.
    """

    mode: Mode = "pretrain"
    recipe: str = "default"
    kernel: Kernel | None = None
    rbf_sigma: float | None = None
    lambda_reg: float | None = None
    pt_temperature: float | None = None
    ft_temperature: float | None = None
    exact_up_to: int | None = None
    num_features: int | None = None
    device: str = "cpu"


def add_weight_flags(parser: argparse.ArgumentParser) -> None:
    """--recipe, --kernel, --rbf_sigma, --lambda_reg, the temperatures, --exact_up_to and --num_features."""
    group = parser.add_argument_group("weights")
    group.add_argument(
        "--recipe",
        choices=tuple(RECIPES),
        default="default",
        help="defaults of the flags below (default: default: RBF kernel, k lambda = 1/2, temperatures scaled "
        "to the number of domains k). released: the published code: linear kernel, lambda 10, temperatures "
        "as stated",
    )
    group.add_argument(
        "--kernel",
        choices=("rbf", "linear"),
        help="affinity between domains (default: the recipe's, rbf). linear is the published method's; its "
        "lambda has the scale of the embeddings squared",
    )
    group.add_argument(
        "--rbf_sigma",
        type=positive_number,
        metavar="S",
        help="width of the RBF kernel (default: the median distance between domains). Set it to compare "
        "several corpora at one width",
    )
    group.add_argument(
        "--lambda_reg",
        type=positive_number,
        metavar="L",
        help="regularisation of the leverage scores (default: the recipe's, 1/(2k) for k domains). Larger "
        "values smooth over near-equal domains",
    )
    group.add_argument(
        "--pt_temperature",
        type=positive_number,
        metavar="T",
        help="softmax temperature of pretrain weights, stated for 7 domains (default: 5). Higher is flatter",
    )
    group.add_argument(
        "--ft_temperature",
        type=positive_number,
        metavar="T",
        help="softmax temperature of finetune weights, stated for 7 domains (default: 0.2). Higher is "
        "flatter",
    )
    group.add_argument(
        "--exact_up_to",
        type=positive_int,
        metavar="N",
        help="compute RBF scores of up to N domains exactly, of more approximately (default: "
        f"{EXACT_UP_TO:,}). Exact scores take 8 N^2 bytes",
    )
    group.add_argument(
        "--num_features",
        type=positive_int,
        metavar="D",
        help="random features of approximate scores (default: 40 times the effective dimension, from 512 to "
        "4,096). Raise it where a notice says that scores are far off",
    )
