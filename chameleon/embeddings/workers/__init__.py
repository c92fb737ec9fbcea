"""Who embeds: this process, others on this machine, or a Ray cluster.

The work is cut into shards, each a few pieces of domains (`work.py`), which are functions of the recipe
alone. The driver (`driver.py`) hands them to workers (`worker.py`), wherever those are, and gives the
shard of one that died to another. A worker takes text from the corpus itself and writes what it made to
a file of its own; only names and counts go to and fro.
"""
