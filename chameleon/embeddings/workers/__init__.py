"""Workers that embed: one in this process, several on this machine, or those of a Ray cluster.

The work is cut into pieces of domains, which are functions of the recipe alone. The scheduler groups
pieces into shards, the driver assigns shards to workers and reassigns the shard of one that died. A
worker reads the corpus itself and writes its pieces to files of its own; only names and counts are sent.
"""
