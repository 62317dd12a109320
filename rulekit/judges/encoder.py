"""The offline judge: a small trained model over MiniLM, calibrated, for any texts and rules.

Its design was chosen among those of `judges.designs` on the validation split of the embedded
corpus. It is trained on the train split and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from rulekit.encoder import Encoder
from rulekit.files import cache_folder, sha256, write_atomically
from rulekit.judges.pointwise import score_pairs
from rulekit.pairs import prompt_text
from rulekit.rules import RuleSet
from rulekit.scores import Scores

if TYPE_CHECKING:
    import torch

DESIGN = "sentences"  # the best on validation, see notebook 10


@dataclass(frozen=True, eq=False)
class EncoderJudge:
    """A trained design with calibrated probabilities.

    Attributes
    ----------
    model
        Of `judges.designs`.
    relevant, satisfied
        Scale and shift of the log-odds that a rule is relevant, ln (p_no + p_yes) / p_irrelevant,
        and that a relevant one is satisfied, ln p_yes / p_no.
    """

    model: torch.nn.Module
    relevant: tuple[float, float] = (1.0, 0.0)
    satisfied: tuple[float, float] = (1.0, 0.0)

    @classmethod
    def train(cls, train, validation=None, design: str = DESIGN, seed: int = 0) -> EncoderJudge:
        """Train on labelled responses, and calibrate on others.

        Parameters
        ----------
        train, validation
            `sources.Labelled`; without validation the probabilities are as they come.
        design
            One of `designs.DESIGNS`.
        seed
            Of initialisation, dropout and order.
        """
        from rulekit.judges import designs

        prompts = [prompt_text(p) for p in train.prompts]
        texts = (prompts, train.responses, train.rules.texts)
        judge = cls(designs.fit(design, *texts, train.scores, seed))
        return judge.calibrate(validation) if validation is not None else judge

    @classmethod
    def distil(
        cls,
        pairs: pl.DataFrame,
        rules: RuleSet,
        scores: Scores,
        design: str = DESIGN,
        seed: int = 0,
    ) -> EncoderJudge:
        """Train on another judge's discrepancies of pairs, to rate more of the kind at little cost.

        Parameters
        ----------
        pairs, scores
            n_pairs pairs and the other judge's scores of them, (n_pairs, n_rules).
        rules
            The n_rules rules.
        design, seed
            As for `train`.

        Returns
        -------
        A judge whose probabilities are not calibrated: no rating of a single response was seen.
        """
        from rulekit.judges import designs

        prompts = [prompt_text(p) for p in pairs["prompt"].to_list()]
        sides = (pairs[c].to_list() for c in ("response_a", "response_b"))
        return cls(designs.distil(design, prompts, *sides, rules.texts, scores.discrepancy, seed))

    @classmethod
    def load(cls) -> EncoderJudge:
        """The judge trained on the embedded train split, from the cache if it is there."""
        import torch

        from rulekit.judges import designs
        from rulekit.sources import load_labelled

        train, validation = (load_labelled("embedded", s) for s in ("train", "validation"))
        parts = [Encoder.load().digest, DESIGN, sha256(_code()), train.rules.hash]
        for data in (train, validation):
            parts += [
                *map(prompt_text, data.prompts),
                *data.responses,
                sha256(data.scores.tobytes()),
            ]
        path = cache_folder("judges") / f"encoder-{sha256(repr(parts))[:16]}.pt"
        if path.is_file():
            saved = torch.load(path, weights_only=True)
            model = designs.DESIGNS[DESIGN]()
            model.load_state_dict(saved["model"])
            return cls(model.eval(), tuple(saved["relevant"]), tuple(saved["satisfied"]))
        judge = cls.train(train, validation)
        saved = {
            "model": judge.model.state_dict(),
            "relevant": list(judge.relevant),
            "satisfied": list(judge.satisfied),
        }
        write_atomically(path, lambda p: torch.save(saved, p))
        return judge

    def calibrate(self, data) -> EncoderJudge:
        """This judge with the scales and shifts that minimise the log-loss on other responses.

        The two questions of a rating, is the rule relevant and is it satisfied, are calibrated
        apart: a judge may be sure of the one with reason and of the other without.

        References
        ----------
        J. Platt, "Probabilistic outputs for support vector machines" (1999); C. Guo et al., "On
        calibration of modern neural networks", ICML 2017.
        """
        import torch

        asked = _questions(self._logits(data.prompts, data.responses, data.rules))
        relevant = torch.as_tensor(data.scores != 0)
        truth = relevant.float(), torch.as_tensor(data.scores > 0).float()[relevant]
        fitted = [_platt(x, y) for x, y in zip((asked[0], asked[1][relevant]), truth, strict=True)]
        return EncoderJudge(self.model, *fitted)

    @property
    def identity(self) -> str:
        """What a rating depends on besides the texts: all weights and the calibration."""
        weights = b"".join(v.numpy().tobytes() for v in self.model.state_dict().values())
        setting = [Encoder.load().digest, repr(self.model), sha256(weights)]
        return "encoder:" + sha256("\n".join([*setting, repr(self.relevant), repr(self.satisfied)]))

    def rate(
        self,
        prompts: Sequence[str | list[dict]],
        responses: Sequence[str],
        rules: RuleSet,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Rate responses under rules, known or new ones.

        Parameters
        ----------
        prompts
            Texts or lists of messages, (n_responses,).
        responses
            Texts, (n_responses,).
        rules
            n_rules rules.
        mask
            Which ratings are wanted, bool (n_responses, n_rules); all by default. One rule more
            costs next to nothing, so the others are made and left out.

        Returns
        -------
        P(no), P(irrelevant), P(yes), each in [0, 1] with sum 1, float32 (n_responses, n_rules, 3);
        NaN where not wanted.
        """
        import torch

        asked = _questions(self._logits(prompts, responses, rules))
        settings = zip(asked, (self.relevant, self.satisfied), strict=True)
        relevant, satisfied = (torch.sigmoid(a * x + b) for x, (a, b) in settings)
        yes = relevant * satisfied
        p = torch.stack([relevant - yes, 1 - relevant, yes], -1).numpy()
        if mask is not None:
            p[~mask] = np.nan
        return p

    def score(self, pairs: pl.DataFrame, rules: RuleSet) -> Scores:
        """Scores of pairs; a response that occurs in several pairs is rated once."""
        return score_pairs(self.rate, pairs, rules)

    def _logits(self, prompts, responses, rules: RuleSet):
        from rulekit.judges import designs

        texts = [prompt_text(p) for p in prompts]
        return designs.logits(self.model, texts, responses, rules.texts)


def _questions(logits):
    """Log-odds that a rule is relevant, and that it is satisfied if it is, (n_responses, n_rules)."""
    no, irrelevant, yes = logits.unbind(-1)
    return no.logaddexp(yes) - irrelevant, yes - no


def _platt(logit, truth) -> tuple[float, float]:
    """Scale and shift of log-odds that make the log-loss of their truth least."""
    import torch

    log_scale, shift = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_scale, shift], max_iter=100)

    def loss():
        optimizer.zero_grad()
        scaled = logit * log_scale.exp() + shift
        value = torch.nn.functional.binary_cross_entropy_with_logits(scaled, truth)
        value.backward()
        return value

    optimizer.step(loss)
    return log_scale.exp().item(), shift.item()


def _code() -> str:
    """The source of designs, training and calibration: a judge made by other code is another one."""
    import inspect

    from rulekit.judges import designs

    return inspect.getsource(designs) + "".join(map(inspect.getsource, (EncoderJudge, _platt)))
