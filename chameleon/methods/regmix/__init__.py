"""RegMix: small models on random mixtures, a regression from mixture to loss, and a search in it.

`runs` are the data, by `tables` from files or by `small_models` trained here; `loglinear` and `boosted` are
regressions, which `regression` judges and chooses between; `search` looks for the best mixture.
"""
