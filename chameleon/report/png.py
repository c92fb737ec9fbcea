"""A PNG of a few colours, as an address that a page can hold."""

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

COLOURS = 16


def png_address(levels: npt.NDArray[np.uint8], colours: Sequence[str]) -> str:
    """A data: address of a picture with a pixel for each number.

    Args:
        levels: (rows, columns) numbers of colours.
        colours: Of each number up to 16 of them, as #rrggbb.
    """
    rows, columns = levels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 4, 3, 0, 0, 0)
    palette = b"".join(bytes.fromhex(colour[1:]) for colour in colours)
    even = np.pad(levels, ((0, 0), (0, columns % 2)))
    pixels = (even[:, ::2] << 4) | even[:, 1::2]
    lines = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # a 0 before each: it is not filtered
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, content)
        for kind, content in (
            (b"IHDR", header),
            (b"PLTE", palette),
            (b"IDAT", zlib.compress(lines, 9)),
            (b"IEND", b""),
        )
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
