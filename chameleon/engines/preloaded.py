"""Loads what workers need, into a process that workers are then forked from."""

from chameleon.quiet import loading_libraries

with loading_libraries():
    import chameleon.engines.worker  # noqa: F401
