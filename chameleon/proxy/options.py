"""Flags of whatever loads a model: its precision, and whether its own code may run."""

import argparse


def add_dtype_flag(group: argparse._ArgumentGroup, what: str) -> None:
    """Add --dtype, the precision of `what`."""
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help=f"precision of {what} (default: auto, bfloat16 where the device has it in hardware). Use "
        "float32 to compare across machines",
    )


def add_trust_flag(group: argparse._ArgumentGroup) -> None:
    """Add --trust_remote_code."""
    group.add_argument(
        "--trust_remote_code",
        action="store_true",
        help="run Python files that the checkpoint brings (default: never). Only for checkpoints whose code "
        "you have read",
    )
