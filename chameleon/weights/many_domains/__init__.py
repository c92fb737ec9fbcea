"""Leverage scores, weights and gradients of more than a thousand domains, up to a million.

Scores are exact with the linear kernel (`exact.linear_scores`), and with the RBF kernel up to
`--exact_up_to` domains (`exact.exact_scores`, on a GPU `gpu.gpu_scores`). Above that they are approximate,
from random Fourier features (`fourier.approximate_scores`), and the weights file says how far off they are.
Start at `solve.solve_many`, which chooses.
"""
