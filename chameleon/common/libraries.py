"""Other libraries: their versions, their output kept off the terminal, and the time it takes to load them."""

import gc
import logging
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import chameleon


def model_libraries() -> dict[str, str]:
    """Versions of torch and transformers, by name; both are loaded for it."""
    import torch
    import transformers

    return {"torch": str(torch.__version__), "transformers": transformers.__version__}


def versions(libraries: Mapping[str, str] | None = None) -> dict[str, str]:
    """Versions of chameleon, libraries and Python, as result files record them under "versions".

    Args:
        libraries: Versions of libraries by name; by default of this process's `model_libraries`.
    """
    return {
        "chameleon": chameleon.__version__,
        **(model_libraries() if libraries is None else libraries),
        "python": platform.python_version(),
    }


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers: its warnings, such as lists of unused weights, and its progress bars."""
    from transformers.utils import logging as library

    verbosity, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity(logging.ERROR)
    library.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
        if bars:
            library.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def loading_libraries() -> Iterator[None]:
    """Turn garbage collection off while libraries load: it takes a sixth of the time and frees nothing.

    What was loaded is left out of later collections too. Does nothing once torch, the largest, is loaded.
    """
    if "torch" in sys.modules:
        yield
        return
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Silence the hub library's line for each retry; its download bars stay."""
    from huggingface_hub.utils import logging as library

    verbosity = library.get_verbosity()
    library.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
