"""A run of the main command, from embeddings to the weights file. Start at `run.py`."""
