"""Plain, slow twins of the kernels, for anyone to read."""

from decimal import Decimal, localcontext
from itertools import product
from math import fsum, log2, prod

import numpy as np


def top_k(criterion: np.ndarray, k: int) -> np.ndarray:
    """The k largest of each row in steps of 1e-6, ties to the lowest position."""
    steps = np.rint(criterion.astype(np.float64) * 1e6).astype(np.int64)
    return np.array([sorted(range(len(row)), key=lambda j: (-row[j], j))[:k] for row in steps])


def votes_and_labels(
    accuracy: list[float], prior: float, weights: list[float], bias: float = 0.0
) -> tuple[float, float, float]:
    """I(votes; Y) and I(label; Y) in bits and the label's accuracy, pattern by pattern."""
    patterns, labels, hits = [], {}, []
    for votes in product((1, -1), repeat=len(accuracy)):
        joint = [
            (prior if y == 1 else 1 - prior)
            * prod(p if v == y else 1 - p for p, v in zip(accuracy, votes, strict=True))
            for y in (-1, 1)
        ]
        margin = bias + fsum(w * v for w, v in zip(weights, votes, strict=True))
        label = 0 if abs(margin) < 1e-9 else 1 if margin > 0 else -1
        patterns.append(joint)
        labels.setdefault(label, []).append(joint)
        hits += [j * (1 + label * y) / 2 for j, y in zip(joint, (-1, 1), strict=True)]
    pooled = [[fsum(column) for column in zip(*rows, strict=True)] for rows in labels.values()]

    def information(outcomes: list[list[float]]) -> float:
        y = (1 - prior, prior)
        cells = [(j, sum(o), q) for o in outcomes for j, q in zip(o, y, strict=True) if j > 0]
        return fsum(j * (log2(j) - log2(both) - log2(q)) for j, both, q in cells)

    return information(patterns), information(pooled), fsum(hits)


def exact_votes(accuracy: list[float], prior: float) -> Decimal:
    """I(votes; Y) in nats to fifty digits, pattern by pattern, of exactly these floats."""
    with localcontext(prec=60):
        y, total = (1 - Decimal(prior), Decimal(prior)), Decimal(0)
        given = [(Decimal(1), Decimal(1))]  # of each pattern: P(votes | -1), P(votes | +1)
        for p in map(Decimal, accuracy):
            q = 1 - p
            given = [pair for b, a in given for pair in ((b * q, a * p), (b * p, a * q))]
        for pattern in given:
            both = sum(g * w for g, w in zip(pattern, y, strict=True))
            for g, w in zip(pattern, y, strict=True):
                if g * w > 0:
                    total += g * w * (g / both).ln()
        return total


def information(x, y) -> float:
    """Plug-in mutual information in nats, one pair of values after the other."""
    x, y = list(map(str, x)), list(map(str, y))
    n, total = len(x), 0.0
    for u in sorted(set(x)):
        for v in sorted(set(y)):
            both = sum(a == u and b == v for a, b in zip(x, y, strict=True)) / n
            if both:
                total += both * np.log(both / (x.count(u) / n) / (y.count(v) / n))
    return total


def shrinkage_information(table: np.ndarray) -> float:
    """Hausser and Strimmer's estimate in nats, from counts (X, Y) whose margins are all positive."""
    n, cells = table.sum(), table.size
    p = table / n
    share = (1 - (p**2).sum()) / ((n - 1) * ((1 / cells - p) ** 2).sum())
    p = min(1.0, share) / cells + (1 - min(1.0, share)) * p
    return float((p * np.log(p / p.sum(1, keepdims=True) / p.sum(0, keepdims=True))).sum())


def class_information(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """Ross' estimate in nats with the counts of Gao et al. in atoms, over all distances."""
    from scipy.special import digamma

    terms = []
    sizes = {c: int((y == c).sum()) for c in set(y.tolist())}
    kept = np.array([sizes[c] > 1 for c in y.tolist()])
    x, y = x[kept], y[kept]
    for value, c in zip(x, y.tolist(), strict=True):
        mine, every = np.sort(np.abs(x[y == c] - value)), np.abs(x - value)
        near = min(k, sizes[c] - 1)
        radius = mine[near]
        if radius == 0:
            near, around = (mine == 0).sum(), (every == 0).sum()
        else:
            around = (every < radius).sum()
        terms.append(digamma(near) - digamma(around) - digamma(sizes[c]))
    return float(digamma(len(x)) + np.mean(terms))


def gao_information(x: np.ndarray, y: np.ndarray, k: int = 3) -> float:
    """Mixed_KSG of Gao et al. (2017) in nats, as their Python does it: one point after another.

    x and y are points, (n, d) each; their log N stands where Ross and Kraskov have ψ(N).
    """
    from scipy.spatial import cKDTree
    from scipy.special import digamma

    n, both = len(x), np.hstack([x, y])
    tree, tree_x, tree_y = cKDTree(both), cKDTree(x), cKDTree(y)
    distance = [tree.query(point, k + 1, p=np.inf)[0][k] for point in both]
    total = 0.0
    for i in range(n):
        near, reach = k, distance[i] - 1e-15
        if distance[i] == 0:
            reach = 1e-15
            near = len(tree.query_ball_point(both[i], reach, p=np.inf))
        around_x = len(tree_x.query_ball_point(x[i], reach, p=np.inf))
        around_y = len(tree_y.query_ball_point(y[i], reach, p=np.inf))
        total += (digamma(near) + np.log(n) - digamma(around_x) - digamma(around_y)) / n
    return total
