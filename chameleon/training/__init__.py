"""Training language models on a mixture of domains. Start at `run.train`.

`python -m chameleon train --help` shows the command.
"""
