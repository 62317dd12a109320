"""Which pairs to ask people about: scores and the preferences known so far come in, an order goes out.

Draws from what labels leave open about the rules' weights tell how much an answer would teach, how
often labels are right by now, and what ten more would add. `rulekit.rating.Asking` and
`rulekit.studies.label_choice_curves` call this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from rulekit.inputs.scores import Scores
from rulekit.selection import labelled
from rulekit.selection.estimates import powers_of
from rulekit.selection.preferences import known_preference
from rulekit.selection.rule_model import Reference, transform
from rulekit.selection.serial import serial_blas
from rulekit.tables import evenly_spaced

CRITERIA = ("information", "error", "random")
_DRAWS = 400
_SLOPES = np.geomspace(1 / 20, 20, 81)
_FOLDS = 5
_POOL = 500  # pairs, evenly spaced, that the criterion `error` looks at
_AHEAD = 10  # answers that `label_progress` looks ahead


@dataclass(frozen=True, eq=False)
class Questions:
    """Pairs that can be asked about, prepared once for many questions.

    Attributes
    ----------
    scores
        Of all n_pairs pairs.
    rows
        The pairs that can be asked about, rising, (n,).
    references
        The pairs that Σ is estimated from, one a power of |δ|.
    priors
        Label-free weights of unit size, in standard units, one a reference, (n_rules,).
    z
        Discrepancies of `rows` in standard units, one a reference, (n, n_rules).
    """

    scores: Scores
    rows: np.ndarray
    references: tuple[Reference, ...]
    priors: tuple[np.ndarray, ...]
    z: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, scores: Scores, most: int = 2000, seed: int = 0) -> Questions:
        """Pairs that can be asked about.

        Parameters
        ----------
        scores
            Of n_pairs pairs, two or more; Σ is estimated from 10,000 evenly spaced ones at most.
        most
            How many pairs can be asked about, drawn by chance where there are more; 1 or more.
        seed
            Of the draw.

        Raises
        ------
        ValueError
            For fewer than two pairs, a `most` out of range, or no rule that ever votes.
        """
        if scores.n_pairs < 2 or most < 1:
            raise ValueError(
                f"{scores.n_pairs} pairs, most is {most}; allowed: 2 or more, and 1 or more"
            )
        rows = np.arange(scores.n_pairs)
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
        whole = scores.whole("scores")
        seen, asked = whole.rows(evenly_spaced(whole.n_pairs)), whole.rows(rows)
        with serial_blas(seen.a.size):
            references = tuple(Reference.of(seen, power) for power in powers_of(seen))
            priors = tuple(labelled.label_free_weights(r) for r in references)
        z = tuple(transform(asked.discrepancy, r.power) / r.scale for r in references)
        return cls(scores, rows, references, priors, z)


TELLING = 20  # labels from which on the estimate is told


@dataclass(frozen=True)
class Progress:
    """What labels have brought so far; as a text only from 20 labels on.

    Attributes
    ----------
    n_labelled
        Pairs with a known preference.
    accuracy, low, high
        Expected share of right labels among the pairs not asked about yet, all rules weighted, and
        its 95 % interval.
    gain, gain_low, gain_high
        The same above labels that knew no preference.
    next_ten
        What ten more answers to the most telling questions would add to the accuracy, about.
    """

    n_labelled: int
    accuracy: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    next_ten: float

    def __str__(self) -> str:
        so_far = f"{self.n_labelled} label{'s' * (self.n_labelled != 1)} so far"
        if self.n_labelled < TELLING:
            return f"{so_far}; from {TELLING} on this says how often labels are right"
        return (
            f"{so_far}: labels of the other pairs are right in about "
            f"{self.accuracy:.1%} [{self.low:.1%}, {self.high:.1%}] as far as the labels tell; "
            f"gain so far {100 * self.gain:+.1f} points [{100 * self.gain_low:+.1f}, "
            f"{100 * self.gain_high:+.1f}]; the next ten would add about "
            f"{100 * self.next_ten:.1f} points"
        )


def ask_order(
    scores: Scores | Questions,
    preference=None,
    n: int = 10,
    *,
    criterion: str = "information",
    without=(),
    groups=None,
    seed: int = 0,
) -> np.ndarray:
    """The pairs to ask about, the most telling first.

    Parameters
    ----------
    scores
        Scores of n_pairs pairs, or `Questions` made of them once.
    preference
        +1, -1, and 0 or null where it is not known, (n_pairs,), or the frame of the pairs.
    n
        How many to order; fewer come back where fewer are left.
    criterion
        ``information``: what the answer tells about the rules' weights. ``error``: by how much it
        is expected to raise the share of right labels. ``random``: any pair.
    without
        Rows that are not to be asked about, besides those whose preference is known.
    groups
        What each pair belongs to, such as its prompt, (n_pairs,): those of the groups asked about
        the least come first, since pairs of one prompt tell much the same. Without, and for
        ``random``, a group does not matter.
    seed
        Of the draws; pairs that would tell the same are taken by chance.

    Returns
    -------
    Rows of the scores, int64 (n,).

    Raises
    ------
    ValueError
        For an unknown criterion, an n below 1, a row that there is not, groups of other pairs, or a
        wrong preference.

    Notes
    -----
    w has the posterior of ``bradley_terry``: a mixture over priors N(c w₀, τ²I), each normal by
    Laplace's approximation. With p = σ(w'x), ``information`` is h(E p) - E h(p), h the binary
    entropy and E over draws of w: the mutual information of answer and weights. ``error`` is the
    rise of mean_j max(P(Y_j = 1), P(Y_j = -1)) over pairs j that the answer brings in expectation.

    After each pair that is taken the draws move as if it had been answered, so that the next one
    tells something else: logits l become l - cov(l, l_i) (l_i - E l_i + e) / (var l_i + 1 / v), e
    normal with variance 1 / v, v = E p_i (1 - p_i).

    An estimate that takes labelled pairs for a random sample, as ``moments`` does, is misled by
    pairs that were chosen so. ``bradley_terry`` is not: it models the answer given the pair.

    References
    ----------
    D. V. Lindley, "On a measure of the information provided by an experiment" (1956). D. J. C.
    MacKay, "Information-based objective functions for active data selection", Neural Computation 4
    (1992). N. Houlsby et al., "Bayesian active learning for classification and preference
    learning", arXiv 1112.5745 (2011). N. Roy, A. McCallum, "Toward optimal active learning through
    sampling estimation of error reduction", ICML (2001).
    """
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}; allowed: {', '.join(CRITERIA)}")
    if n < 1:
        raise ValueError(f"n is {n}; allowed: 1 or more")
    questions, y = _prepared(scores, preference)
    left = _left(questions, y, without)
    rng = np.random.default_rng(seed)
    left = left[rng.permutation(len(left))]  # so that ties go by chance
    if criterion == "random" or not len(left):
        return questions.rows[left[:n]]
    at, fits = _fitted(questions, y)
    with serial_blas(questions.z[at].size):
        logits = questions.z[at] @ fits.draws(_DRAWS, rng).T
    group, asked = _groups(groups, y)
    taken, _ = _taken(logits, left, n, criterion, rng, group[questions.rows], asked)
    return questions.rows[taken]


def label_progress(scores: Scores | Questions, preference=None, *, seed: int = 0) -> Progress:
    """How often labels are right by now, what known preferences brought, and what ten more would.

    Parameters
    ----------
    scores, preference, seed
        As of `ask_order`.

    Raises
    ------
    ValueError
        For a wrong preference, or no pair left to label.

    Notes
    -----
    Pairs that were chosen for what they teach are harder than others: how often labels are right on
    them says nothing about the rest. How often they are right at a margin of some size does: labelled
    pairs in five folds, each with the margin m that the others imply, in units of its root mean
    square, give the posterior of β in P(right) = σ(β |m|), log β ~ N(½, 1) before a label is seen. The estimate is the mean of
    σ(β |m_j|) over the pairs j that were not asked about; its interval holds what is not known about
    β, and the chance of so many pairs. `rulekit.studies.label_choice_curves` counts how often it
    covers. ``gain`` takes the same probabilities for labels that knew no preference, so it is never
    below 0. ``next_ten`` moves each draw of the weights as its own answers would.
    """
    questions, y = _prepared(scores, preference)
    left = _left(questions, y, ())
    if not len(left):
        raise ValueError("the preference of every pair is known; none is left to label")
    rng = np.random.default_rng(seed)
    at, fits = _fitted(questions, y)
    z = questions.z[at]
    margin, first = (z @ fits.mean)[left], (z @ questions.priors[at])[left]
    beta = _slopes(questions, y, at, rng)
    size = _size(z, fits.mean)
    p = expit(margin[:, None] / size * beta)  # (n_left, n_draws): the first response is preferred
    now, before = _right(p, margin), _right(p, first)
    noise = rng.standard_normal(_DRAWS) * np.sqrt((p * (1 - p)).mean(axis=0) / len(left))
    low, high = np.quantile(now + noise, (0.025, 0.975))
    gain_low, gain_high = np.quantile(now - before, (0.025, 0.975))
    logits = z @ fits.draws(_DRAWS, rng).T
    _, after = _taken(logits, left, _AHEAD, "information", rng)
    later = margin[:, None] + (logits - after)[left]  # where each draw's answers would move it
    q = expit(logits[left])
    more = np.where(later > 0, q, 1 - q).mean() - _right(q, margin).mean()
    return Progress(
        n_labelled=int(np.count_nonzero(y)),
        accuracy=float(now.mean()),
        low=float(max(low, 0.0)),
        high=float(min(high, 1.0)),
        gain=float((now - before).mean()),
        gain_low=float(gain_low),
        gain_high=float(gain_high),
        next_ten=float(max(more, 0.0)),
    )


def information_gain(p: np.ndarray) -> np.ndarray:
    """Mutual information of an answer and the weights in bits, (n,): h(mean p) - mean h(p).

    Parameters
    ----------
    p
        Probability of the answer under each draw of the weights, (n, n_draws).
    """
    return _entropy(p.mean(axis=1)) - _entropy(p).mean(axis=1)


def error_reduction(p: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Expected rise of the share of right labels that an answer brings, (n,).

    Parameters
    ----------
    p
        Probability of the answer under each draw of the weights, (n, n_draws).
    pool
        The same of the pairs that are to be labelled, (n_pool, n_draws).
    """
    both = p @ pool.T / p.shape[1]  # (n, n_pool): P(both first)
    yes, first = p.mean(axis=1)[:, None], pool.mean(axis=1)
    after = np.maximum(both, yes - both) + np.maximum(first - both, 1 - yes - first + both)
    return after.mean(axis=1) - np.maximum(first, 1 - first).mean()


def _entropy(p: np.ndarray) -> np.ndarray:
    q = np.clip(p, 1e-300, 1.0)
    r = np.clip(1 - p, 1e-300, 1.0)
    return -(p * np.log2(q) + (1 - p) * np.log2(r))


def _right(p: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Share of right labels under each draw, (n_draws,); a tie counts one half."""
    side = np.sign(margin)[:, None]
    return (0.5 + side * (p - 0.5)).mean(axis=0)


def _prepared(scores: Scores | Questions, preference) -> tuple[Questions, np.ndarray]:
    questions = scores if isinstance(scores, Questions) else Questions.of(scores)
    return questions, known_preference(preference, questions.scores)


def _left(questions: Questions, y: np.ndarray, without) -> np.ndarray:
    """Positions in `questions.rows` of the pairs that can still be asked about."""
    taken = y != 0
    without = np.asarray(without, dtype=np.int64)
    if without.size and not (without.min() >= 0 and without.max() < len(y)):
        raise ValueError(f"without has a row out of range; allowed: 0 to {len(y) - 1}")
    taken[without] = True
    return np.flatnonzero(~taken[questions.rows])


def _fitted(questions: Questions, y: np.ndarray) -> tuple[int, labelled.WeightFits]:
    """The power of |δ| that the labels make the more likely, by its place, and its fits."""
    found = [
        labelled.fit_weights(right, prior)
        for right, prior in zip(_rights(questions, y), questions.priors, strict=True)
    ]
    at = int(np.argmax([fits.log_evidence for fits in found]))
    return at, found[at]


def _rights(questions: Questions, y: np.ndarray) -> Iterator[np.ndarray]:
    """z times Y of the labelled pairs, (n_labelled, n_rules), one a reference."""
    known = np.flatnonzero(y)
    for reference in questions.references:
        if not len(known):
            yield np.empty((0, len(reference.scale)))
            continue
        delta = questions.scores.rows(known).whole("scores").discrepancy
        yield transform(delta, reference.power) / reference.scale * y[known, None]


def _slopes(questions: Questions, y: np.ndarray, at: int, rng) -> np.ndarray:
    """Draws of β: how much surer, or less sure, a label is than its margin says, (n_draws,)."""
    right = list(_rights(questions, y))[at]
    chance = -((np.log(_SLOPES) - 0.5) ** 2) / 2
    n = len(right)
    if n >= 2:
        fold = rng.permutation(n) % min(_FOLDS, n)
        margin = np.empty(n)
        for f in range(fold.max() + 1):
            others = labelled.fit_weights(right[fold != f], questions.priors[at])
            margin[fold == f] = right[fold == f] @ others.mean / _size(questions.z[at], others.mean)
        chance = chance - np.logaddexp(0, -margin[:, None] * _SLOPES).sum(axis=0)
    share = np.exp(chance - chance.max())
    return rng.choice(_SLOPES, _DRAWS, p=share / share.sum())


def _size(z: np.ndarray, weights: np.ndarray) -> float:
    """Root mean square of the margins, so that fits of few and of many labels can be compared."""
    return float(np.sqrt(((z @ weights) ** 2).mean())) or 1.0


def _groups(groups, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of each pair's group, (n_pairs,), and how many of each are known."""
    if groups is None:
        return np.zeros(len(y), np.int64), np.zeros(1, np.int64)
    groups = np.asarray(groups)
    if groups.shape != y.shape:
        raise ValueError(f"groups have shape {groups.shape}; allowed: {y.shape}, one a pair")
    group = np.unique(groups, return_inverse=True)[1]
    return group, np.bincount(group[y != 0], minlength=group.max() + 1)


def _taken(
    logits, left, n: int, criterion: str, rng, group=None, asked=None
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the order to ask, and the draws of all logits as they stand after it."""
    logits, left, order = logits.copy(), np.array(left), []
    if group is None:
        group, asked = np.zeros(len(logits), np.int64), np.zeros(1, np.int64)
    asked = asked.copy()
    for _ in range(min(n, len(left))):
        times = asked[group[left]]
        some = left[times == times.min()]
        p = expit(logits[some])
        gain = information_gain(p) if criterion == "information" else _error(p, logits)
        place = int(gain.argmax())
        i = some[place]
        left = left[left != i]
        asked[group[i]] += len(asked) > 1
        order.append(i)
        v = max(float((p[place] * (1 - p[place])).mean()), 1e-6)
        off = logits[i] - logits[i].mean()
        noise = rng.standard_normal(logits.shape[1]) / np.sqrt(v)
        slope = (logits - logits.mean(axis=1, keepdims=True)) @ off / len(off)
        logits -= np.outer(slope / (off @ off / len(off) + 1 / v), off + noise)
    return np.array(order, dtype=np.int64), logits


def _error(p: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return error_reduction(p, expit(logits[:: -(-len(logits) // _POOL)]))
