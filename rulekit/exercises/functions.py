"""Answers that are code: a student's function comes in, a hint goes out.

Each function gives an empty text for a right answer. `tasks` names them.
"""

from __future__ import annotations

import numpy as np

from rulekit.exercises.answers import call, numbers


def top_k(function: object) -> str:
    delta = np.array([[1.6, -0.9, 0.4, 0.2], [0.1, -0.5, 0.5, -2.0], [0.3, 0.3, 0.3, 0.3]])
    right = np.array([[0, 1], [3, 1], [0, 1]])
    found = numbers(call(function, delta.copy(), 2), (3, 2))
    if (found == right).all():
        other = numbers(call(function, -delta[:1], 3), (1, 3))
        return (
            _long_rows(function) if (other == [0, 1, 2]).all() else "k = 2 is right, k = 3 is not."
        )
    if (found != np.rint(found)).any():
        return "Those are δ; columns are asked, such as [0, 1] for the first row."
    if (found == np.argsort(-delta, axis=1, kind="stable")[:, :2]).all():
        return "These are the largest δ; a rule that speaks strongly for B has a large |δ|, too."
    if (found == np.argsort(np.abs(delta), axis=1, kind="stable")[:, :2]).all():
        return "These are the smallest |δ|; sort by −|δ|."
    if (found == np.argsort(np.abs(delta), axis=1, kind="stable")[:, -2:]).all():
        return "The largest comes last there; it has to come first. Sort by −|δ|."
    if (found[:, ::-1] == right).all() or (np.sort(found) == np.sort(right)).all():
        return "The right rules in another order; the largest |δ| comes first."
    if (found[0] == right[0]).all():
        return "Row 0 is right, rows with ties are not: equal |δ| go to the lower column. A stable sort of −|δ| does that."
    return f"For δ = {delta[0].tolist()} and k = 2 the columns are [0, 1], yours are {found[0].astype(int).tolist()}."


def _long_rows(function: object) -> str:
    """Rows of 2,001 rules, without ties and with many: short ones come sorted out of any sort."""
    rng, n, k = np.random.default_rng(0), 2001, 1000
    distinct = rng.permuted(np.tile(np.arange(1, n + 1) / n, (2, 1)), axis=1)
    tied = rng.integers(-4, 5, (2, n)) / 2
    for delta in (distinct * rng.choice([-1, 1], distinct.shape), tied):
        found = numbers(call(function, delta.copy(), k), (2, k))
        right = np.argsort(-np.abs(delta), axis=1, kind="stable")[:, :k]
        if (found == right).all():
            continue
        if delta is tied:
            return "Right for 4 rules. Of 2,001 with many ties, equal |δ| do not go to the lower column: argsort does that with kind='stable' only."
        if (np.sort(found, axis=1) == np.sort(right, axis=1)).all():
            return "Right for 4 rules. Of 2,001 the loudest are there, but not the largest first: argpartition does not sort, a stable argsort of −|δ| does."
        return "Right for 4 rules; for 2,001 rules and k = 1,000 it is not."
    return ""


def loss(function: object) -> str:
    margin, target = np.array([2.0, -1.0, 0.5, 0.0]), np.array([1.0, 0.0, 0.7, 0.5])

    def log_loss(m, t):
        return t * np.logaddexp(0, -m) + (1 - t) * np.logaddexp(0, m)

    right = log_loss(margin, target)
    found = numbers(call(function, margin.copy(), target.copy()), ())
    if abs(found - right.sum()) < 1e-6:
        return "That is the sum over pairs; the loss is the mean."
    if abs(found - log_loss(-margin, target).mean()) < 1e-6:
        return "A large margin for a preferred A has to cost little: the sign of the margin is reversed."
    if abs(found + right.mean()) < 1e-6:
        return "That is the log-likelihood; the loss is its negative."
    if abs(found - (target * np.logaddexp(0, -margin)).mean()) < 1e-6:
        return "Targets below 1 lack their other part, (1 − t) log σ(−m)."
    if abs(found - right.mean() / np.log(2)) < 1e-6:
        return "That is in bits; training uses natural logarithms."
    if abs(found - right.mean()) > 1e-6:
        return f"For the margins {margin.tolist()} and targets {target.tolist()} the loss is {right.mean():.4f}, yours is {found:.4f}."
    with np.errstate(all="ignore"):
        far = np.asarray(call(function, np.array([-1000.0]), np.array([1.0])), dtype=float)
    if not np.isfinite(far).all() or abs(far.ravel()[0] - 1000) > 1e-3:
        return "Right for small margins, but a margin of −1,000 gives no finite loss: log(1 + e^x) is np.logaddexp(0, x)."
    return ""


def information(function: object) -> str:
    p = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    entropy = -p * np.log2(p) - (1 - p) * np.log2(1 - p)
    found = np.array([numbers(call(function, float(x)), ()) for x in p])
    if np.allclose(found, entropy, atol=1e-6):
        return "That is h(p), what the vote leaves open; the information is 1 − h(p)."
    if np.allclose(found, 1 - entropy * np.log(2), atol=1e-6):
        return "The entropy is in nats there; with np.log2 it is in bits."
    if np.allclose(found, (1 - entropy) * np.log(2), atol=1e-6):
        return "That is in nats; divide by ln 2 for bits."
    if np.allclose(found, 1 + p * np.log2(p), atol=1e-6):
        return "h(p) has two terms, p and 1 − p."
    if not np.allclose(found, 1 - entropy, atol=1e-6):
        return f"At p = .8 the information is .278 bits, yours is {found[3]:.3f}."
    try:
        with np.errstate(all="ignore"):
            ends = [np.asarray(call(function, x), dtype=float).ravel()[0] for x in (0.0, 1.0)]
    except (ArithmeticError, ValueError):
        ends = [np.nan]
    if not np.allclose(ends, 1, atol=1e-6):
        return "Right inside, but p = 0 and p = 1 have to give 1 bit: 0 · log 0 counts as 0."
    return ""
