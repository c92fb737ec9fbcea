"""Computes how much of each text domain to train a language model on. See README.md.

python compute_chameleon_weights.py --mode pretrain
python compute_chameleon_weights.py --mode finetune --skip_embedding_generation
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from chameleon.argument_types import (
    count,
    directory,
    named,
    positive,
    whole,
)
from chameleon.change_flags import add_change_flags
from chameleon.command_line import (
    Parser,
    carry_out,
    draws,
    leave_on_termination,
    print_json,
    print_table,
    tell,
)
from chameleon.engine_flags import add_engine_flags, require_consistent
from chameleon.export_flags import add_place_flags, tokens
from chameleon.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_DATASET,
    DEFAULT_EMBEDDINGS_DIR,
    DEFAULT_SAMPLE_LENGTH,
    DEFAULT_SEED,
    DEFAULT_TARGET_SE,
    Options,
)
from chameleon.shared_flags import (
    add_domains_flag,
    add_dtype_flag,
    add_reading_flags,
    add_trust_flag,
)
from chameleon.weight_flags import add_weight_flags


def build_parser() -> argparse.ArgumentParser:
    """The command line, grouped by the stages of the pipeline."""
    parser = Parser(
        prog="compute_chameleon_weights.py",
        description="Compute how much of each text domain to train a language model on, "
        "from kernel ridge leverage scores of the domains' embeddings.",
        allow_abbrev=False,
    )
    _add_result_flags(parser)
    _add_text_flags(parser)
    _add_embedding_flags(parser)
    add_engine_flags(parser)
    add_weight_flags(parser)
    return parser


def _add_result_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("result")
    group.add_argument(
        "--mode",
        choices=("pretrain", "finetune"),
        default="pretrain",
        help="what the weights are for (default: pretrain). pretrain raises domains that share most with "
        "the others, finetune those that share least; change it with the training that follows",
    )
    group.add_argument(
        "--output",
        type=named,
        metavar="FILE",
        help="weights file to write (default: chameleon_weights_<mode>.json). Change it to keep several "
        "results; - writes the JSON to stdout and the table to stderr",
    )
    group.add_argument(
        "--report",
        type=directory,
        metavar="FILE",
        help="page to write, such as report.html: pictures of the weights, how sure they are and why "
        "(default: none). Give it to show them to others",
    )
    group.add_argument(
        "--export",
        type=named,
        metavar="F",
        help="trainer's format to write too, beside the weights file (default: none). Give it to train with "
        "them; python -m chameleon.export --help lists the formats and caps epochs",
    )
    add_place_flags(group)
    group.add_argument(
        "--budget",
        type=tokens,
        metavar="TOKENS",
        help="tokens to train on, such as 300B, for --export (default: not known). Give it to see epochs",
    )


def _add_text_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("text")
    group.add_argument(
        "--dataset",
        type=named,
        metavar="NAME",
        help=f"corpus (default: {DEFAULT_DATASET}, or builtin where there is no proxy in the default place "
        "and none is named). Change it for your own text: a directory with a file or sub-directory for each "
        "domain, a manifest (corpus.json), a hub id, or a URL of s3, gs or http; builtin is text of this "
        "Python environment",
    )
    add_domains_flag(group)
    group.add_argument(
        "--num_samples",
        type=whole,
        metavar="N",
        help="windows of each domain (default: as many as --target_se needs, up to 2048). Give it for "
        "exactly so many; windows embedded before are kept",
    )
    group.add_argument(
        "--target_se",
        type=positive,
        metavar="SE",
        help="standard error up to which a weight is sure enough: windows are drawn in rounds, more where "
        f"the error comes from, until all are (default: {DEFAULT_TARGET_SE}). Lower it for surer weights",
    )
    group.add_argument(
        "--sample_length",
        type=whole,
        metavar="TOKENS",
        help=f"tokens of a window (default: {DEFAULT_SAMPLE_LENGTH}). Lower it for a proxy with a shorter "
        "context",
    )
    group.add_argument(
        "--seed",
        type=count,
        metavar="N",
        help=f"which windows are drawn (default: {DEFAULT_SEED}). Change it to see how far the weights hang "
        "on that",
    )
    add_reading_flags(parser)
    add_change_flags(parser)


def _add_embedding_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("embedding")
    group.add_argument(
        "--checkpoint_path",
        type=named,
        metavar="PATH",
        help=f"proxy: directory or hub id of any causal language model (default: {DEFAULT_CHECKPOINT}, or a "
        "small stand-in trained on the spot where that is missing). Change it to look with another model",
    )
    group.add_argument(
        "--embeddings_dir",
        type=directory,
        default=Path(DEFAULT_EMBEDDINGS_DIR),
        metavar="DIR",
        help=f"where embeddings are kept (default: {DEFAULT_EMBEDDINGS_DIR}). Change it for a larger disk",
    )
    group.add_argument(
        "--skip_embedding_generation",
        action="store_true",
        help="use the embeddings in --embeddings_dir as they are (default: embed what is missing). Give it "
        "to try other weight settings in a second, or where text and proxy are not at hand",
    )
    group.add_argument(
        "--embedding_batch_size",
        type=whole,
        metavar="N",
        help="windows in one forward pass (default: found for the device, and halved where memory runs out). "
        "Lower it to leave memory to others; the windows stay the same",
    )
    group.add_argument(
        "--device",
        default="auto",
        help="where the proxy runs: auto, cpu, cuda, cuda:1, mps (default: auto, a GPU where there is one). "
        "Change it to pick one of several",
    )
    group.add_argument(
        "--block",
        type=whole,
        metavar="N",
        help="block of the proxy whose output is taken (default: the middle one). Change it to see how far "
        "the weights hang on that",
    )
    group.add_argument(
        "--sensitivity",
        action="store_true",
        help="embed with two other blocks and seeds too, and say how far weights move (default: only with "
        "lambda, sigma and temperature). Give it before a decision that is dear",
    )
    add_dtype_flag(group, "the proxy computes")
    add_trust_flag(group)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 2 for bad input or 130 for an interrupt."""
    arguments = vars(build_parser().parse_args(argv))
    output = arguments.pop("output") or f"chameleon_weights_{arguments['mode']}.json"
    exporting = argparse.Namespace(
        token_counts=None, max_epochs=None, min_weight=0.0, prior_strength=0.0,
        **{name: arguments.pop(name) for name in ("export", "sources", "tokens_per_row", "budget")},
    )  # fmt: skip
    work = partial(_run, Options(**arguments), output, exporting)
    return carry_out(work, "windows embedded so far are kept")


def _run(options: Options, output: str, exporting: argparse.Namespace) -> None:
    from chameleon.files import check_writable, require_directory
    from chameleon.pipeline import run
    from chameleon.table import render_change, render_table

    require_consistent(options)
    if options.num_shards is not None:
        _embed_share(options)
        return
    if output != "-":
        check_writable(Path(output))
    beside = f"chameleon_weights_{options.mode}.json" if output == "-" else output
    if options.report is not None:
        require_directory(options.report)
    if exporting.export is not None:
        from chameleon.export.exporting import export_beside, require_exportable

        require_exportable(exporting, beside)
    outcome = run(options, notify=lambda text: tell(f"note: {text}"))
    weights = outcome.weights
    if output != "-":
        weights.write(output)
    if options.report is not None:
        from chameleon.report.build import report_of
        from chameleon.report.page import write_report

        write_report(report_of(outcome), options.report)
    terminal = sys.stderr if output == "-" else sys.stdout
    place = "stdout" if output == "-" else output
    table = render_table(weights, place, unicode=draws(terminal), report=options.report)
    if outcome.change is not None:
        table += "\n\n" + render_change(weights, outcome.change.before, outcome.change.moved_by)
    if output == "-":
        print_json(weights.to_json())
        tell(table)
    else:
        print_table(table, f"the weights are in {output}")
    if exporting.export is not None:
        export_beside(weights, exporting, beside, tell)


def _embed_share(options: Options) -> None:
    from chameleon.embedding_stage import embed_share

    made = embed_share(options, notify=lambda text: tell(f"note: {text}"))
    print_table(
        f"part {options.shard_index} of {options.num_shards} is done: {made:,} windows embedded here. When "
        "all are, the same command without --num_shards and --shard_index gives the weights",
        "the windows are kept",
    )


if __name__ == "__main__":
    leave_on_termination()
    sys.exit(main())
