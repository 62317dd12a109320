"""Where choosing the rules of largest discrepancy fails: the smallest instances, in full.

Each function returns one joint distribution of discrepancies and preference, small enough to
check by hand, with what maximum discrepancy picks and what is best. Notebooks and tests call
them; `rulekit.theory` offers all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import polars as pl

from rulekit.kernels import theory as kernel


@dataclass(frozen=True, eq=False)
class CounterExample:
    """A joint distribution on which maximum discrepancy is not the best choice.

    Attributes
    ----------
    assumption
        The assumption of the theorem that does not hold.
    delta
        Discrepancies of each outcome, (n_outcomes, n_rules).
    probability
        P(outcome, Y), (n_outcomes, 2): columns Y = -1, +1; sums to 1.
    picked
        Rules of largest |δ|, ascending.
    best
        The best subset of the same size, by the measure the example is about.
    measure
        ``votes`` for I(votes; Y), ``label`` for I(sum label; Y).
    information_picked, information_best
        That information of the two subsets, in bits.
    """

    assumption: str
    delta: np.ndarray  # (n_outcomes, n_rules)
    probability: np.ndarray  # (n_outcomes, 2)
    picked: tuple[int, ...]
    best: tuple[int, ...]
    measure: str
    information_picked: float
    information_best: float

    def vote_information(self, subset) -> float:
        """I(votes of the subset; Y) in bits; the sizes of δ are not looked at."""
        return exact_information(np.sign(self.delta[:, list(subset)]), self.probability)

    def label(self, subset) -> np.ndarray:
        """Sum label of each outcome, -1, 0 or +1, (n_outcomes,)."""
        margin = self.delta[:, list(subset)].sum(axis=1)
        return np.where(np.abs(margin) < 1e-9, 0.0, np.sign(margin))

    def label_information(self, subset) -> float:
        """I(sum label of the subset; Y) in bits, a tie being a third value."""
        return exact_information(self.label(subset)[:, None], self.probability)

    def label_accuracy(self, subset) -> float:
        """P(sum label = Y), a tie counted as half."""
        label = self.label(subset)[:, None]
        return float((self.probability * (1 + label * np.array([-1, 1])) / 2).sum())

    def subsets(self) -> pl.DataFrame:
        """Every subset as large as `picked`, a row each.

        Columns rules, discrepancy (their |δ|), accuracy (P(vote = Y) of each), vote_information
        and label_information in bits, label_accuracy, and choice: who takes this subset.
        """
        rows = []
        for rules in combinations(range(self.delta.shape[1]), len(self.picked)):
            takers = {"max discrepancy": self.picked, "best": self.best}
            rows.append(
                {
                    "rules": list(rules),
                    "discrepancy": np.abs(self.delta[0, list(rules)]).tolist(),
                    "accuracy": [round(self.label_accuracy([j]), 12) for j in rules],
                    "vote_information": self.vote_information(rules),
                    "label_information": self.label_information(rules),
                    "label_accuracy": self.label_accuracy(rules),
                    "choice": ", ".join(name for name, taken in takers.items() if taken == rules),
                }
            )
        return pl.DataFrame(rows)

    def exchanged(self) -> CounterExample:
        """The same rules where a fair coin has decided which response is called A."""
        return _chosen(
            self.assumption,
            *exchanged(self.delta, self.probability),
            len(self.picked),
            self.measure,
        )


@dataclass(frozen=True, eq=False)
class SelectionAfterSeeing:
    """The informations that one may mean when the rule is chosen after its δ is seen.

    Attributes
    ----------
    delta, probability
        As `CounterExample`.
    chosen
        Rule of largest |δ| in each outcome, ties to the lowest position, (n_outcomes,).
    information_fixed
        I(δ_j; Y) of each rule, looked at whatever it says, bits (n_rules,).
    information_selected
        I((j, δ_j); Y) of the chosen rule, its position and its size: what is averaged over the
        choices, in bits.
    information_vote
        I(sign δ_j; Y) of the chosen rule's bare vote, the hard label, in bits.
    information_all
        I(δ; Y) of every rule, in bits: the ceiling.
    """

    delta: np.ndarray
    probability: np.ndarray
    chosen: np.ndarray
    information_fixed: np.ndarray
    information_selected: float
    information_vote: float
    information_all: float


@dataclass(frozen=True)
class MajorityExample:
    """Accuracies whose majority is worse than the first rule alone.

    Attributes
    ----------
    accuracy
        Probability that each rule is right, independently.
    majority
        Accuracy of the majority of the first 1, 2, 3 … rules, a tie counted as half.
    """

    accuracy: tuple[float, ...]
    majority: tuple[float, ...]


def exact_information(outcome, probability) -> float:
    """I(outcome; Y) in bits of a joint distribution given in full.

    Parameters
    ----------
    outcome
        What is observed, (n_outcomes, n_columns); equal rows are one observation.
    probability
        P(row, Y), (n_outcomes, 2): columns Y = -1, +1; both have mass.

    Raises
    ------
    ValueError
        For shapes that do not fit, or probabilities that do not sum to 1.
    """
    outcome, probability = np.asarray(outcome), np.asarray(probability, dtype=np.float64)
    if outcome.ndim != 2 or probability.shape != (len(outcome), 2):
        raise ValueError(
            f"outcome and probability have shapes {outcome.shape}, {probability.shape}; allowed: "
            "(n_outcomes, n_columns) and (n_outcomes, 2)"
        )
    if not (probability.min() >= 0 and abs(probability.sum() - 1) < 1e-9):
        raise ValueError("probability: allowed: not negative, with sum 1")
    distinct, code = np.unique(outcome, axis=0, return_inverse=True)
    y = probability.sum(axis=0)
    given = np.zeros((len(distinct), 2))
    np.add.at(given, code.ravel(), probability / y)
    b, a = given.T.copy()
    return float(kernel.information(a, b, a - b, y[1]) / np.log(2))


def exchanged(delta, probability) -> tuple[np.ndarray, np.ndarray]:
    """A joint distribution after a fair coin has decided which response is called A.

    Parameters
    ----------
    delta
        Discrepancies, or votes, of each outcome, (n_outcomes, n_rules).
    probability
        P(outcome, Y), (n_outcomes, 2): columns Y = -1, +1.

    Returns
    -------
    delta, (2 n_outcomes, n_rules), and probability, (2 n_outcomes, 2). Each rule by itself now is a
    symmetric channel: P(vote = Y | Y) is the same for both Y, the mean of what it was.
    """
    delta, probability = np.asarray(delta), np.asarray(probability, dtype=np.float64)
    return np.concatenate([delta, -delta]), np.concatenate([probability, probability[:, ::-1]]) / 2


def dependent_rules() -> CounterExample:
    """Three rules, two to choose: the second repeats the first, so its vote adds nothing.

    Rules 0 and 1 are one vote, right with probability 0.8, |δ| = 1; rule 2 votes by itself,
    right with 0.7, |δ| = 0.5. With fewer rules dependence could not change a choice.
    """
    delta, probability = _independent([0.8, 0.7], [1.0, 0.5])
    return _chosen("votes independent given Y", delta[:, [0, 0, 1]], probability, 2, "votes")


def asymmetric_channel() -> CounterExample:
    """Two rules, one to choose: the quieter one is never wrong when A is preferred.

    Rule 0 has |δ| = 1 and is right with probability 0.78 whichever response is better. Rule 1 has
    |δ| = 0.5 and is right with 1 if A is better and with 0.5 if B is: less often, 0.75, but its
    vote for B is a proof, and it tells more, .311 against .240 bits. After a fair coin has
    exchanged the responses (`CounterExample.exchanged`) it tells .189 bits, less than rule 0.
    """
    delta, probability = _independent([[0.78, 0.5], [0.78, 1.0]], [1.0, 0.5])
    return _chosen("P(vote = Y | Y) the same for both Y", delta, probability, 1, "votes")


def unequal_noise() -> CounterExample:
    """Two rules, one to choose: the louder one is the noisier.

    Rule 0 has |δ| = 2 and is right with probability 0.6, rule 1 has |δ| = 1 and is right with
    0.9: no one function g gives p_j = g(|δ_j|) non-decreasing. The evidence is in
    |μ_j δ_j| / σ_j², not in |δ_j|.
    """
    delta, probability = _independent([0.6, 0.9], [2.0, 1.0])
    return _chosen("one non-decreasing g with p_j = g(|δ_j|)", delta, probability, 1, "votes")


def reversed_rules() -> CounterExample:
    """Three rules, two to choose: one points the wrong way, and the sum label cancels.

    Rules 0 and 1 have |δ| = 1 and are right with probability 0.9 and 0.1, rule 2 has |δ| = 0.5
    and is right with 0.7. The votes of 0 and 1 are the most informative two, but the label that
    adds them ties or errs as often as it hits: it tells nothing. A reversed vote is lost on the
    label, not on who knows that it is reversed. With two rules and one to choose, a label and a
    vote tell the same; with two to choose, there is no choice.
    """
    delta, probability = _independent([0.9, 0.1, 0.7], [1.0, 1.0, 0.5])
    return _chosen("every p_j ≥ 1/2", delta, probability, 2, "label")


def selection_after_seeing() -> SelectionAfterSeeing:
    """Two rules, one to look at for each pair: which mutual information is claimed?

    Each rule independently is loud (|δ| = 1, right with probability 0.9) or quiet (|δ| = 0.25,
    right with 0.6), half of the time. Which rule is louder changes by pair. Looking at the louder
    one tells .406 bits, at either rule alone .280, at both .471. The bare vote of the louder one,
    with its size forgotten, tells less than its δ.
    """
    sizes = list(product((1.0, 0.25), repeat=2))
    parts = [_independent([0.9 if s == 1 else 0.6 for s in size], size) for size in sizes]
    delta = np.concatenate([d for d, _ in parts])
    probability = np.concatenate([p for _, p in parts]) / len(sizes)
    chosen = np.abs(delta).argmax(axis=1)
    seen = np.take_along_axis(delta, chosen[:, None], axis=1)
    return SelectionAfterSeeing(
        delta,
        probability,
        chosen,
        np.array([exact_information(delta[:, [j]], probability) for j in range(2)]),
        exact_information(np.hstack([chosen[:, None], seen]), probability),
        exact_information(np.sign(seen), probability),
        exact_information(delta, probability),
    )


def majority_not_monotone() -> MajorityExample:
    """Three rules of accuracy 0.9, 0.6, 0.6: their majority is right with 0.792 only."""
    accuracy = (0.9, 0.6, 0.6)
    delta, probability = _independent(accuracy, [1.0] * 3)
    whole = CounterExample("", delta, probability, (), (), "label", 0.0, 0.0)
    return MajorityExample(accuracy, tuple(whole.label_accuracy(range(k)) for k in (1, 2, 3)))


def _independent(accuracy, size) -> tuple[np.ndarray, np.ndarray]:
    """δ and P(outcome, Y) of independent votes of given sizes, Y equiprobable.

    `accuracy` is that of each rule, (n_rules,), or one row for Y = -1 and one for Y = +1.
    """
    votes = np.array(list(product((1.0, -1.0), repeat=len(size))))
    right = np.broadcast_to(accuracy, (2, len(size)))
    given = [
        np.where(votes == y, p, 1 - p).prod(axis=1) for y, p in zip((-1, 1), right, strict=True)
    ]
    return votes * np.asarray(size), np.stack(given, axis=1) / 2


def _chosen(
    assumption: str, delta: np.ndarray, probability: np.ndarray, k: int, measure: str
) -> CounterExample:
    """Fill in the choices: |δ| is the same in every outcome, the best subset is searched for."""
    picked = tuple(sorted(np.argsort(-np.abs(delta[0]), kind="stable")[:k].tolist()))
    bare = CounterExample(assumption, delta, probability, picked, picked, measure, 0.0, 0.0)
    value = bare.vote_information if measure == "votes" else bare.label_information
    best = max(combinations(range(delta.shape[1]), k), key=value)
    return CounterExample(
        assumption, delta, probability, picked, best, measure, value(picked), value(best)
    )
