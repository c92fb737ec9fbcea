"""Loads what workers need, into a process that workers are then forked from."""

from chameleon.common.libraries import loading_libraries

with loading_libraries():
    import chameleon.embeddings.workers.worker  # noqa: F401
