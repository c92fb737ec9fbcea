"""Training on a mixture of domains: packed text, the stream of rows, the model, the run.

`python -m chameleon train --help` shows the command.
"""
