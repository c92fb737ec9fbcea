"""The method itself: from domain embeddings to affinity, leverage scores and weights.

Read `affinity`, `leverage`, `softmax` and `formula` in this order. `compute.compute_weights` is the public
function on arrays; it takes samples (`sample`) and returns `DomainWeights` (`domain_weights`).
"""
