"""Computes how much of each text domain to train a language model on. See README.md.

python compute_chameleon_weights.py --mode pretrain
python compute_chameleon_weights.py --mode finetune --skip_embedding_generation
"""

import argparse
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from chameleon.errors import InputError
from chameleon.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_DATASET,
    DEFAULT_EMBEDDINGS_DIR,
    DEFAULT_NUM_SAMPLES,
    DEFAULT_SAMPLE_LENGTH,
    DEFAULT_SEED,
    Options,
)

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"error: {message}; --help shows what each flag takes\n")


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return number


def _named(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got an empty one; or leave the flag out")
    return text


def _directory(text: str) -> Path:
    return Path(_named(text))


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, not negative, got {text!r}")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"expected names with commas between, each once, got {text!r}")
    return names


def _labels(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(label and sign and name for label, sign, name in pairs):
        raise argparse.ArgumentTypeError(f"expected LABEL=NAME with commas between, got {text!r}")
    return {label.strip(): name.strip() for label, _, name in pairs}


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def build_parser() -> argparse.ArgumentParser:
    """The command line, grouped by the stages of the pipeline."""
    parser = _Parser(
        prog="compute_chameleon_weights.py",
        description="Compute how much of each text domain to train a language model on, "
        "from kernel ridge leverage scores of the domains' embeddings.",
        allow_abbrev=False,
    )
    _add_result_flags(parser)
    _add_text_flags(parser)
    _add_embedding_flags(parser)
    _add_weight_flags(parser)
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
        type=_named,
        metavar="FILE",
        help="weights file to write (default: chameleon_weights_<mode>.json). Change it to keep several "
        "results; - writes the JSON to stdout and the table to stderr",
    )


def _add_text_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("text")
    group.add_argument(
        "--dataset",
        type=_named,
        metavar="NAME",
        help=f"corpus (default: {DEFAULT_DATASET}, or builtin where there is no proxy in the default place "
        "and none is named). Change it for your own text: a directory with a file or sub-directory for each "
        "domain, a manifest (corpus.json), a hub id, or a URL of s3, gs or http; builtin is text of this "
        "Python environment",
    )
    group.add_argument(
        "--domains",
        type=_names,
        metavar="A,B,...",
        help="domains to use, in this order (default: all). Give it to leave some out",
    )
    group.add_argument(
        "--num_samples",
        type=_whole,
        metavar="N",
        help=f"windows of each domain (default: {DEFAULT_NUM_SAMPLES}). Raise it for weights that change "
        "less with the seed; windows embedded before are kept",
    )
    group.add_argument(
        "--sample_length",
        type=_whole,
        metavar="TOKENS",
        help=f"tokens of a window (default: {DEFAULT_SAMPLE_LENGTH}). Lower it for a proxy with a shorter "
        "context",
    )
    group.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help=f"which windows are drawn (default: {DEFAULT_SEED}). Change it to see how far the weights hang "
        "on that",
    )
    _add_reading_flags(parser)


def _add_reading_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("reading text")
    group.add_argument(
        "--text_column",
        type=_named,
        metavar="NAME",
        help="column or field with the document; dots lead into structures (default: text). Change it to "
        "what yours is called",
    )
    group.add_argument(
        "--domain_column",
        type=_named,
        metavar="NAME",
        help="column or field that tells domains apart, where files hold them mixed (default: "
        "meta.redpajama_set_name where it is there, else none: a domain a file or sub-directory, subset or "
        "split). Change it to what yours is called",
    )
    group.add_argument(
        "--domain_names",
        type=_labels,
        metavar="LABEL=NAME,...",
        help="what to call the domains of that column (default: the names usual for SlimPajama, else the "
        "labels themselves). Change it for names of your own; several labels of one name are joined",
    )
    _add_flags_of_hub_and_arrays(group)
    group.add_argument(
        "--skip_bad_lines",
        action="store_true",
        help="leave out and count JSONL lines that cannot be used (default: the first one is an error). "
        "Give it once you have seen what is wrong with them",
    )


def _add_flags_of_hub_and_arrays(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--subset",
        type=_named,
        metavar="NAME",
        help="subset of a hub dataset (default: its only one, or each as a domain). Give it to use "
        "one of several",
    )
    group.add_argument(
        "--split",
        type=_named,
        metavar="NAME",
        help="split to read, where files or a hub dataset have several (default: train). Change it to look "
        "at another",
    )
    group.add_argument(
        "--revision",
        type=_named,
        metavar="COMMIT",
        help="commit, branch or tag of a hub dataset (default: its newest; recorded). Give it to repeat a "
        "run",
    )
    group.add_argument(
        "--download",
        action="store_true",
        help="bring a hub dataset whole into the hub's cache first (default: read only the parts that "
        "windows lie in). Give it to work offline afterwards",
    )
    group.add_argument(
        "--tokenizer",
        type=_named,
        metavar="PATH",
        help="checkpoint with the tokenizer that made token arrays (default: none). Give it where the corpus "
        "has such arrays (.bin, .npy), which do not say it themselves",
    )
    group.add_argument(
        "--token_dtype",
        choices=("uint16", "uint32"),
        help="items of flat token arrays (default: uint16). Change it for vocabularies over 65,536",
    )


def _add_embedding_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("embedding")
    group.add_argument(
        "--checkpoint_path",
        type=_named,
        metavar="PATH",
        help=f"proxy: directory or hub id of any causal language model (default: {DEFAULT_CHECKPOINT}, or a "
        "small stand-in trained on the spot where that is missing). Change it to look with another model",
    )
    group.add_argument(
        "--embeddings_dir",
        type=_directory,
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
        type=_whole,
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
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="what the proxy computes in (default: auto, bfloat16 where the device has it in hardware). "
        "Change it to float32 to compare across machines",
    )
    group.add_argument(
        "--trust_remote_code",
        action="store_true",
        help="run Python files that the checkpoint brings (default: never). Give it only for checkpoints "
        "whose code you have read",
    )


def _add_weight_flags(parser: argparse.ArgumentParser) -> None:
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
        type=_positive,
        metavar="S",
        help="width of the RBF kernel (default: the median distance between domains). Change it to keep one "
        "width over several corpora",
    )
    group.add_argument(
        "--lambda_reg",
        type=_positive,
        metavar="L",
        help="regularisation of the leverage scores (default: the recipe's, 1/(2k) for k domains). Raise it "
        "to smooth over near-equal domains",
    )
    group.add_argument(
        "--pt_temperature",
        type=_positive,
        metavar="T",
        help="temperature of pretrain weights, for 7 domains (default: 5). Raise it for flatter weights",
    )
    group.add_argument(
        "--ft_temperature",
        type=_positive,
        metavar="T",
        help="temperature of finetune weights, for 7 domains (default: 0.2). Raise it for flatter weights",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 2 for bad input or 130 for an interrupt."""
    arguments = vars(build_parser().parse_args(argv))
    output = arguments.pop("output") or f"chameleon_weights_{arguments['mode']}.json"
    try:
        _run(Options(**arguments), output)
    except InputError as error:
        _tell(f"error: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        _tell("interrupted; windows embedded so far are kept")
        return INTERRUPTED
    return 0


def _run(options: Options, output: str) -> None:
    from chameleon.files import check_writable
    from chameleon.pipeline import run
    from chameleon.table import render_table

    if output != "-":
        check_writable(Path(output))
    weights = run(options, notify=lambda text: _tell(f"note: {text}"))
    if output == "-":
        _print_json(weights.to_json())
        _tell(render_table(weights, "stdout", unicode=_draws(sys.stderr)))
        return
    weights.write(output)
    table = render_table(weights, output, unicode=_draws(sys.stdout))
    try:
        print(_shown(table, sys.stdout), flush=True)
    except BrokenPipeError:
        _silence(sys.stdout)  # its reader has seen enough
    except OSError as error:
        _silence(sys.stdout)
        raise InputError(
            f"the weights are in {output}, but stdout cannot be written: {error.strerror}"
        ) from None


def _tell(text: str) -> None:
    """Print on stderr, if anybody listens there."""
    if sys.stderr is not None:
        try:
            print(_shown(text, sys.stderr), file=sys.stderr, flush=True)
        except OSError:
            _silence(sys.stderr)


def _print_json(text: str) -> None:
    """The weights file on stdout, in UTF-8 whatever the terminal's encoding, delivered or an error."""
    if sys.stdout is None:
        raise InputError("--output - was given, but stdout is closed; name a file")
    try:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except OSError as error:
        _silence(sys.stdout)
        raise InputError(f"cannot write the weights to stdout: {error.strerror}; name a file") from None


def _draws(stream: TextIO | None) -> bool:
    """Whether block characters can be drawn there."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def _shown(text: str, stream: TextIO | None) -> str:
    """The text with what the stream cannot hold written as escapes."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    return text.encode(encoding, errors="backslashreplace").decode(encoding)


def _silence(stream: TextIO) -> None:
    """Let what is still held for a stream go nowhere, so that the exit does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _exit_on_termination(_signal: int, _frame: object) -> NoReturn:
    # A cluster that takes the machine back says so: leave by the ordinary way, which keeps embeddings.
    raise SystemExit(TERMINATED)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _exit_on_termination)
    sys.exit(main())
