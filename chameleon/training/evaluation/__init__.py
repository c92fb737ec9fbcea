"""How well models predict the held-out documents of each domain.

`python -m chameleon evaluate --help` shows the command.
"""
