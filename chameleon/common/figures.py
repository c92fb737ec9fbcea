"""Pictures drawn by matplotlib: one look, one palette, one place that saves them.

matplotlib is loaded when a picture is drawn. The pictures of the report page are SVG of its own
(`chameleon.report`).
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from chameleon.common.errors import InputError, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_SUFFIXES = (".png", ".svg", ".pdf")

# Colours of the first series, the second, ...; after the last from the first again.
PALETTE = ("#1f6f8b", "#d9822b", "#5b8c5a", "#8a4f7d", "#b5443c", "#6b6b6b", "#c2a83e", "#3d5a99")


def require_picture_name(path: Path) -> None:
    """Raise InputError for a name in --picture that does not end in .png, .svg or .pdf."""
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise InputError(
            f"--picture {path}: expected a picture's name to end in .png, .svg or .pdf, got {path.name}"
        )


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure.

    Args:
        width, height: Size in inches.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def new_axes(figure: "Figure", rows: int = 1, columns: int = 1, number: int = 1) -> "Axes":
    """Axes without a frame above and to the right; by default the only ones of the figure.

    Args:
        figure: Figure to put them in.
        rows, columns: Grid of panels.
        number: Panel of the grid, from 1, row by row.
    """
    axes = figure.add_subplot(rows, columns, number)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def escape_math(text: str) -> str:
    """Text for a label of matplotlib, in which a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def save_figure(
    figure: "Figure", path: Path, flag: str | None = "--picture", saved: str | None = None
) -> None:
    """Save a figure in the format that the file's suffix names. Letters missing from the font become boxes.

    Args:
        figure: Figure to save.
        path: File to write.
        flag: Flag that names the file, for the message of an error; None where no flag does.
        saved: Results that are on disk already, for that message, such as "the losses are in loss.json".

    Raises:
        InputError: The file cannot be written.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        named, rest = f" ({flag})" if flag else "", f"; {saved}" if saved else ""
        raise InputError(f"cannot write the picture {path}{named}: {reason}{rest}") from None
