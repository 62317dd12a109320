"""A judge with rules as a scorer: what it says of each rule comes in, one number a question goes out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rulekit.benchmarks.contract import Question, Scored
from rulekit.files import sha256
from rulekit.inputs.identity import Identity
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import votes
from rulekit.judges.contract import Judge, as_judge
from rulekit.selection.rule_model import Estimates

METHODS = ("sum", "weighted")


class JudgeScorer:
    """A judge's sum over rules, or weighted sum.

    Parameters
    ----------
    judge
        Of any kind. One that rates a response alone gives it the sum over rules of P(yes) - P(no).
        One that compares is asked in both orders, and the signs of its two sums are added.
    rules
        The rules that speak.
    method
        ``sum`` or ``weighted``.
    estimates
        For ``weighted``, of power 1: what `rulekit.estimate` made of other pairs.

    Raises
    ------
    ValueError
        For another method, estimates missing, of other rules or of another power.
    """

    part = 64

    def __init__(
        self, judge: Judge, rules: RuleSet, method: str = "sum", estimates: Estimates | None = None
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method is {method!r}; allowed: {', '.join(METHODS)}")
        if (method == "weighted") != (estimates is not None):
            raise ValueError("method 'weighted' needs estimates, 'sum' takes none")
        if estimates is not None and estimates.power != 1:
            raise ValueError(
                f"estimates are of power {estimates.power:g}, which weighs differences of two "
                "responses; allowed: power 1, from rulekit.estimate(…, power=1)"
            )
        self.judge, self.rules, self.method = as_judge(judge), rules, method
        self.weights = np.ones(len(rules))
        if estimates is not None:
            self.weights = estimates.aligned(Identity.of(rules)).weights()
        self.pairwise = self.judge.pairwise

    @property
    def identity(self) -> str:
        weights = sha256(self.weights.tobytes())[:16]
        return f"judge {self.judge.identity} rules {self.rules.hash} {self.method} {weights}"

    def read(self, questions: Sequence[Question]) -> Scored:
        """Scores of responses, or of a judge that compares the sum of its signs, -2 to 2.

        Parameters
        ----------
        questions
            Prompts, and tuples of one response, or two.

        Raises
        ------
        RatingFailed
            If a rating is missing.
        """
        prompts = [prompt for prompt, _ in questions]
        if not self.pairwise:
            return Scored.untold(self._sums(prompts, [r[0] for _, r in questions]))
        pairs = [tuple(responses) for _, responses in questions]
        both = self._sums(prompts * 2, pairs + [pair[::-1] for pair in pairs])
        signs = votes(both, np.abs(self.weights).sum())
        there, back = signs[: len(pairs)], signs[len(pairs) :]
        return Scored.untold(there - back, first=0.5 + (there + back) / 4)

    def _sums(self, prompts: list, responses: list) -> np.ndarray:
        p = self.judge.rate(prompts, responses, self.rules).complete().astype(np.float64)
        return (p[..., 2] - p[..., 0]) @ self.weights

    def facts(self) -> dict:
        """Judge, rules and method."""
        return {
            "judge": self.judge.identity,
            "rules_sha256": self.rules.hash,
            "n_rules": len(self.rules),
            "method": self.method,
            "orders": "both, the signs summed" if self.pairwise else "none: one response alone",
            "caveats": list(self.judge.caveats(self.rules)),
        }
