"""Computes how much of each text domain to train a language model on. See README.md.

python compute_chameleon_weights.py --mode pretrain
python compute_chameleon_weights.py --mode finetune --skip_embedding_generation
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

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
from chameleon.export.options import ExportRequest
from chameleon.pipeline.options import (
    Options,
    add_run_flags,
    require_consistent,
)


def build_parser() -> argparse.ArgumentParser:
    """The command line, grouped by the stages of the pipeline."""
    parser = Parser(
        prog="compute_chameleon_weights.py",
        description="Compute how much of each text domain to train a language model on, "
        "from kernel ridge leverage scores of the domains' embeddings.",
        allow_abbrev=False,
    )
    add_run_flags(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 2 for bad input or 130 for an interrupt."""
    arguments = vars(build_parser().parse_args(argv))
    output = arguments.pop("output") or f"chameleon_weights_{arguments['mode']}.json"
    trainer_file = {name: arguments.pop(name) for name in ("sources", "tokens_per_row", "budget")}
    trainer_format = arguments.pop("export")
    request = None if trainer_format is None else ExportRequest(format=trainer_format, **trainer_file)
    work = partial(_run, Options(**arguments), output, request)
    return run_command(work, "windows embedded so far are kept")


def _run(options: Options, output: str, export: ExportRequest | None) -> None:
    from chameleon.common.files import check_writable, require_directory
    from chameleon.pipeline.run import run
    from chameleon.report.terminal import render_change, render_table

    require_consistent(options)
    if options.num_shards is not None:
        _embed_share(options)
        return
    if output != "-":
        check_writable(Path(output))
    beside = f"chameleon_weights_{options.mode}.json" if output == "-" else output
    if options.report is not None:
        require_directory(options.report)
    if export is not None:
        from chameleon.export.write import export_beside, require_exportable

        require_exportable(export, Path(beside))
    outcome = run(options, notify=note)
    weights = outcome.weights
    if output != "-":
        weights.write(output)
    if options.report is not None:
        from chameleon.report.build import build_report
        from chameleon.report.page import write_report

        write_report(build_report(outcome), options.report)
    terminal = sys.stderr if output == "-" else sys.stdout
    place = "stdout" if output == "-" else output
    table = render_table(
        weights,
        place,
        unicode=can_draw_blocks(terminal),
        width=terminal_width(terminal),
        report=options.report,
    )
    if outcome.change is not None:
        table += "\n\n" + render_change(weights, outcome.change.before, outcome.change.moved_by)
    if output == "-":
        print_json(weights.to_json())
        print_stderr(table)
    else:
        print_table(table, f"the weights are in {output}")
    if export is not None:
        export_beside(weights, export, Path(beside), print_stderr)


def _embed_share(options: Options) -> None:
    from chameleon.embeddings.embed import embed_share

    made = embed_share(options, notify=note)
    print_table(
        f"part {options.shard_index} of {options.num_shards} is done: {made:,} windows embedded here. When "
        "all are, the same command without --num_shards and --shard_index gives the weights",
        "the windows are kept",
    )


if __name__ == "__main__":
    exit_on_sigterm()
    sys.exit(main())
