"""Tables in the terminal: alignment, wide letters, and what happens on a narrow terminal."""

import fcntl
import os
import pty
import struct
import termios
from pathlib import Path

from chameleon.common.command_line import terminal_width
from chameleon.common.tables import Column, display_width, table_lines

COLUMNS = (
    Column("domain", ["cc", "日本語", "stackexchange"], is_text=True),
    Column("weight", ["0.5", "0.25", "0.25"]),
    Column("", ["####", "##", "##"], is_text=True, is_optional=True),
    Column("vs uniform", ["1.50 x", "0.75 x", "0.75 x"]),
)


def test_numbers_are_aligned_right_and_text_left() -> None:
    assert table_lines(COLUMNS) == [
        "domain         weight        vs uniform",
        "cc                0.5  ####      1.50 x",
        "日本語           0.25  ##        0.75 x",
        "stackexchange    0.25  ##        0.75 x",
    ]


def test_a_narrow_terminal_loses_optional_columns_and_no_digits() -> None:
    assert table_lines(COLUMNS, width=39) == table_lines(COLUMNS)
    assert table_lines(COLUMNS, width=38) == [
        "domain         weight  vs uniform",
        "cc                0.5      1.50 x",
        "日本語           0.25      0.75 x",
        "stackexchange    0.25      0.75 x",
    ]
    assert table_lines(COLUMNS, width=10) == table_lines(COLUMNS, width=38)


def test_empty_cells_leave_no_spaces_at_the_end_of_a_line() -> None:
    assert table_lines([Column("a", ["1", "2"]), Column("note", ["", "x"], is_text=True)]) == [
        "a  note",
        "1",
        "2  x",
    ]


def test_wide_letters_take_two_characters_and_combining_marks_none() -> None:
    assert [display_width(text) for text in ("abc", "日本", "é", "e\u0301")] == [3, 4, 1, 1]


def test_only_a_terminal_has_a_width(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert terminal_width(file) is None
    assert terminal_width(file) is None  # closed
    assert terminal_width(None) is None
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 72, 0, 0))
        assert terminal_width(terminal) == 72
    os.close(leader)
