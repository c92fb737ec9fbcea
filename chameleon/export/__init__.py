"""Weights as the configuration of a trainer, and back.

`formats.FORMATS` has a row for each format: what writes it, what reads it, and how its trainer draws.
"""
