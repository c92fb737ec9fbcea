"""Flags of the way from embeddings to weights."""

import argparse

from chameleon.common.command_line import positive_int, positive_number


def add_weight_flags(parser: argparse.ArgumentParser) -> None:
    """--recipe, --kernel, --rbf_sigma, --lambda_reg, the temperatures, --exact_up_to and --num_features."""
    group = parser.add_argument_group("weights")
    group.add_argument(
        "--recipe",
        choices=("default", "released"),
        default="default",
        help="what the flags below default to (default: default: RBF kernel, k lambda = 1/2, temperatures "
        "fitted to the number of domains). Change it to released for the numbers of the published code: "
        "linear kernel, lambda 10, temperatures as they stand",
    )
    group.add_argument(
        "--kernel",
        choices=("rbf", "linear"),
        help="affinity between domains (default: the recipe's, rbf). Change it to linear to compare with "
        "the published method; its lambda has the scale of the embeddings squared",
    )
    group.add_argument(
        "--rbf_sigma",
        type=positive_number,
        metavar="S",
        help="width of the RBF kernel (default: the median distance between domains). Change it to keep one "
        "width over several corpora",
    )
    group.add_argument(
        "--lambda_reg",
        type=positive_number,
        metavar="L",
        help="regularisation of the leverage scores (default: the recipe's, 1/(2k) for k domains). Raise it "
        "to smooth over near-equal domains",
    )
    group.add_argument(
        "--pt_temperature",
        type=positive_number,
        metavar="T",
        help="temperature of pretrain weights, for 7 domains (default: 5). Raise it for flatter weights",
    )
    group.add_argument(
        "--ft_temperature",
        type=positive_number,
        metavar="T",
        help="temperature of finetune weights, for 7 domains (default: 0.2). Raise it for flatter weights",
    )
    group.add_argument(
        "--exact_up_to",
        type=positive_int,
        metavar="N",
        help="RBF scores of up to so many domains are exact, of more approximate (default: 30,000). Lower it "
        "where memory (8 N^2 bytes) or time is short",
    )
    group.add_argument(
        "--num_features",
        type=positive_int,
        metavar="D",
        help="random features of approximate scores (default: 40 times the effective dimension, from 512 to "
        "4,096). Raise it where a notice says that scores are far off",
    )
