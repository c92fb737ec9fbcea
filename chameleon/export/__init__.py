"""Writes weights in the formats of trainers, and checks such files against the weights.

Start at `formats.FORMATS`: a row for each format. `command` and `check` hold the two commands.
"""
