"""Flags that several commands share: which domains, how their text is read, and in what is computed."""

import argparse


def add_dtype_flag(group: argparse._ArgumentGroup, what: str) -> None:
    """--dtype; `what` is computed in it."""
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help=f"what {what} in (default: auto, bfloat16 where the device has it in hardware). "
        "Change it to float32 to compare across machines",
    )


def add_trust_flag(group: argparse._ArgumentGroup) -> None:
    """--trust_remote_code."""
    group.add_argument(
        "--trust_remote_code",
        action="store_true",
        help="run Python files that the checkpoint brings (default: never). Give it only for checkpoints "
        "whose code you have read",
    )
