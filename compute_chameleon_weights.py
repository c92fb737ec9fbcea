"""Computes how much of each text domain to train a language model on. See README.md.

python compute_chameleon_weights.py --mode pretrain
python compute_chameleon_weights.py --mode finetune --skip_embedding_generation
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chameleon.common.command_line import (
    Parser,
    can_draw_blocks,
    exit_on_sigterm,
    note,
    print_json,
    print_stderr,
    print_table,
    run_command,
    terminal_width,
)
from chameleon.common.files import check_writable, require_directory
from chameleon.common.flags import add_flags
from chameleon.export.options import ExportRequest
from chameleon.pipeline.options import (
    EXPORT_FLAGS,
    RESULT_FLAGS,
    RUN_FLAGS,
    Options,
    require_consistent,
)

if TYPE_CHECKING:
    from chameleon.pipeline.run import Outcome


def build_parser() -> argparse.ArgumentParser:
    """The command line, grouped by the stages of the pipeline."""
    parser = Parser(
        prog="compute_chameleon_weights.py",
        description="Compute how much of each text domain to train a language model on, "
        "from kernel ridge leverage scores of the domains' embeddings.",
        allow_abbrev=False,
    )
    add_flags(parser, Options, RESULT_FLAGS)
    add_flags(parser, ExportRequest, EXPORT_FLAGS)
    add_flags(parser, Options, RUN_FLAGS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 2 for bad input or 130 for an interrupt."""
    arguments = vars(build_parser().parse_args(argv))
    details = {name: arguments.pop(name) for name in EXPORT_FLAGS["result"].split()}
    options = Options(**arguments)
    output = options.output or f"chameleon_weights_{options.mode}.json"
    export = None if options.export is None else ExportRequest(format=options.export, **details)
    work = partial(_run, options, output, export)
    return run_command(work, "windows embedded so far are kept")


def _run(options: Options, output: str, export: ExportRequest | None) -> None:
    require_consistent(options)
    if options.num_shards is not None:
        _embed_shard(options)
        return
    weights_file = Path(f"chameleon_weights_{options.mode}.json" if output == "-" else output)
    _require_writable(options, output, export, weights_file)
    from chameleon.pipeline.run import run

    outcome = run(options, notify=note)
    if output != "-":
        outcome.weights.write(output)
    if options.report is not None:
        from chameleon.report.build import build_report
        from chameleon.report.page import write_report

        write_report(build_report(outcome), options.report)
    _print(outcome, output, options.report)
    if export is not None:
        from chameleon.export.write import export_beside

        export_beside(outcome.weights, export, weights_file, print_stderr)


def _require_writable(
    options: Options, output: str, export: ExportRequest | None, weights_file: Path
) -> None:
    """Raise InputError before the work where a result could not be written after it."""
    if output != "-":
        check_writable(weights_file)
    if options.report is not None:
        require_directory(options.report)
    if export is not None:
        from chameleon.export.write import require_exportable

        require_exportable(export, weights_file)


def _print(outcome: "Outcome", output: str, report: Path | None) -> None:
    """Print the table on stdout; on stderr where the JSON goes to stdout."""
    from chameleon.report.terminal import render_change, render_table

    weights, change = outcome.weights, outcome.change
    is_json = output == "-"
    stream = sys.stderr if is_json else sys.stdout
    table = render_table(
        weights,
        "stdout" if is_json else output,
        unicode=can_draw_blocks(stream),
        width=terminal_width(stream),
        report=report,
    )
    if change is not None:
        table += "\n\n" + render_change(weights, change.before, change.moved_by)
    if is_json:
        print_json(weights.to_json())
        print_stderr(table)
    else:
        print_table(table, f"the weights are in {output}")


def _embed_shard(options: Options) -> None:
    from chameleon.embeddings.embed import embed_run_shard

    windows = embed_run_shard(options, notify=note)
    print_table(
        f"shard {options.shard_index} of {options.num_shards} is done: {windows:,} windows embedded. Once "
        "all shards are, run the same command without --num_shards and --shard_index for the weights",
        "the windows are kept",
    )


if __name__ == "__main__":
    exit_on_sigterm()
    sys.exit(main())
