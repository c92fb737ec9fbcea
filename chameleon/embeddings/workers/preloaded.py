"""Loads what workers need into the process that workers are forked from."""

from chameleon.common.libraries import loading_libraries

with loading_libraries():
    import chameleon.embeddings.workers.worker  # noqa: F401
