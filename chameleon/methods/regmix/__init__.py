"""RegMix: a regression from mixtures to the losses of small models, and a search for the best mixture.

`method` is where to start: it reads or trains the runs, `selection` chooses among the `regressors` by
cross-validation, and `search` looks for the mixture with the lowest predicted loss.
"""
