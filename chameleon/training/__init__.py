"""Training on a mixture of domains: packed text, the stream of rows, the model, the run.

`python -m chameleon.training --help` shows the command.
"""
