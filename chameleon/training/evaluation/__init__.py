"""How well models predict the held-out documents of each domain. Start at `evaluate.evaluate`.

`python -m chameleon evaluate --help` shows the command.
"""
