"""How well models predict the held-out documents of each domain.

`python -m chameleon.evaluation --help` shows the command.
"""
