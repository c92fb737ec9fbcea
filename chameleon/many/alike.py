"""Which of many domains are as good as one, without a matrix of all pairs.

Shapes: k domains, d width of an embedding.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from chameleon.affinity import Array
from chameleon.many.found import Means
from chameleon.many.pairs import width_of_pairs

# Of more domains than this so many at random are to be looked at: time grows with their square.
LOOKED_AT = 20_000
# Numbers of a block of distances: 32 MiB.
_AT_ONCE = 1 << 22
_NO_BOUND = float(np.finfo(np.float64).max)


def groups_alike(means: Means, noise: Array, affinity: float) -> list[list[int]]:
    """Sets of two and more domains that are alike, one by way of the other, the largest first.

    Args:
        means: (k, d) domain embeddings.
        noise: (k,) noise to take off squared distances.
        affinity: From which RBF affinity on, at the median width, two domains are alike.

    Raises:
        InputError: Most domains coincide, so that there is no median width.
    """
    x = np.array(means, dtype=np.float64)
    # As near as this after noise; the ridge, which bounds what is taken off for scores, has no part in it.
    sigma, less = width_of_pairs(x, noise, _NO_BOUND) if noise.any() else width_of_pairs(x, None, 1.0)
    reach = -2 * sigma * sigma * np.log(affinity)
    x -= x.mean(axis=0)
    sizes = np.einsum("ij,ij->i", x, x) - less
    m = len(x)
    labels = np.arange(m, dtype=np.int64)
    step = max(1, _AT_ONCE // m)
    for begin in range(0, m, step):
        rows = slice(begin, min(begin + step, m))
        apart = sizes[rows, None] + sizes[begin:] - 2 * (x[rows] @ x[begin:].T)
        one, other = np.nonzero(apart <= reach)
        pairs = labels[one + begin], labels[other + begin]
        graph = coo_array((np.ones(len(one), dtype=bool), pairs), shape=(m, m))
        labels = connected_components(graph, directed=False)[1].astype(np.int64)[labels]
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    found = [group.tolist() for group in groups if len(group) > 1]
    return sorted(found, key=len, reverse=True)
