"""The loss over a run as a picture."""

from collections.abc import Sequence
from pathlib import Path

from chameleon.errors import InputError


def draw_curve(curve: Sequence[dict[str, float]], path: Path) -> None:
    """Write a PNG of the lines of a `loss.csv`; nothing where there are none.

    Raises:
        InputError: It cannot be written.
    """
    if not curve:
        return
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    tokens = [row["tokens"] for row in curve]
    axes.plot(tokens, [row["loss"] for row in curve], color="#1f6f8b")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("tokens trained on")
    axes.set_ylabel("training loss, nats a token")
    axes.set_title(
        f"{plain(path.parent.name)}: loss {curve[-1]['loss']:.3f} after {int(curve[-1]['step']):,} steps"
    )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def plain(text: str) -> str:
    """Text as it stands, in which a dollar sign begins no formula."""
    return text.replace("$", r"\$")
