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
    temperature, bias
        Of the logits: softmax(logits / temperature + bias), bias float (3,).
    """

    model: torch.nn.Module
    temperature: float = 1.0
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)

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
            return cls(model.eval(), saved["temperature"], tuple(saved["bias"]))
        judge = cls.train(train, validation)
        saved = {"model": judge.model.state_dict(), "temperature": judge.temperature,
                 "bias": list(judge.bias)}  # fmt: skip
        write_atomically(path, lambda p: torch.save(saved, p))
        return judge

    def calibrate(self, data) -> EncoderJudge:
        """This judge with the temperature and bias that minimise the log-loss on other responses.

        References
        ----------
        C. Guo et al., "On calibration of modern neural networks", ICML 2017 (temperature and
        vector scaling).
        """
        import torch

        logits = self._logits(data.prompts, data.responses, data.rules).flatten(0, 1)
        target = torch.as_tensor(data.scores + 1, dtype=torch.long).flatten()
        log_temperature = torch.zeros(1, requires_grad=True)
        bias = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.LBFGS([log_temperature, bias], max_iter=100)

        def loss():
            optimizer.zero_grad()
            scaled = logits / log_temperature.exp() + bias
            value = torch.nn.functional.cross_entropy(scaled, target)
            value.backward()
            return value

        optimizer.step(loss)
        bias = bias.detach() - bias.detach().mean()
        return EncoderJudge(self.model, log_temperature.exp().item(), tuple(bias.tolist()))

    @property
    def identity(self) -> str:
        """What a rating depends on besides the texts: all weights and the calibration."""
        weights = b"".join(v.numpy().tobytes() for v in self.model.state_dict().values())
        setting = [Encoder.load().digest, repr(self.model), sha256(weights)]
        return "encoder:" + sha256("\n".join([*setting, repr(self.temperature), repr(self.bias)]))

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

        logits = self._logits(prompts, responses, rules)
        p = (logits / self.temperature + torch.tensor(self.bias)).softmax(-1).numpy()
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


def _code() -> str:
    """The source of designs, training and calibration: a judge made by other code is another one."""
    import inspect

    from rulekit.judges import designs

    return inspect.getsource(designs) + inspect.getsource(EncoderJudge)
