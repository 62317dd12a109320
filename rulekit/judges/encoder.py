"""The offline judge: a small trained network over MiniLM, calibrated, for any texts and rules.

Its weights come with the kit, as `rulekit.training.encoder_judge` made them from the embedded
corpus and readings of real responses. Texts and rules come in, probabilities go out; `rulekit.judges.judge` gives it by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rulekit.encoder import Encoder
from rulekit.files import resource, sha256, write_atomically
from rulekit.inputs.pairs import prompt_text
from rulekit.inputs.rules import RuleSet
from rulekit.judges.contract import Judge, Rating, Usage, keeping, wanted_cells
from rulekit.judges.texts import askable

if TYPE_CHECKING:
    import torch

_EMPTY = "the prompt or the response is empty"
WEIGHTS = "data/encoder-judge.safetensors"
# The figures are those of tests/judges/test_new_rules.py, which measures them again.
UNSEEN = (
    "Under rules that it never learned its labels are often wrong: in a trial of the kit's own, on "
    "60 obvious pairs under 12 new rules, they were right on 73 % [56, 87], and on 30 % where the "
    "worse response was careless. Check some labels by hand before you use any (`rulekit label "
    "SCORES --pairs PAIRS --ask`), or rate with a language model (`judge: server` or `judge: local`)."
)


@dataclass(frozen=True, eq=False)
class EncoderJudge(Judge):
    """A trained network with calibrated probabilities.

    Attributes
    ----------
    model
        Of `rulekit.judges.networks`.
    relevant, satisfied
        Scale and shift of the log-odds that a rule is relevant, ln (p_no + p_yes) / p_irrelevant,
        and that a relevant one is satisfied, ln p_yes / p_no.
    provenance
        What it was trained on, as text; `rules` are the digests of the rules, in JSON.
    """

    model: torch.nn.Module
    relevant: tuple[float, float] = (1.0, 0.0)
    satisfied: tuple[float, float] = (1.0, 0.0)
    provenance: Mapping[str, str] = field(default_factory=dict, repr=False)

    def save(self, path: str | Path) -> Path:
        """Write weights, calibration and provenance as one safetensors file, atomically."""
        from safetensors.torch import save_file

        from rulekit.judges.networks import name_of

        told = {
            **self.provenance,
            "network": name_of(self.model),
            "relevant": json.dumps(self.relevant),
            "satisfied": json.dumps(self.satisfied),
            "encoder": Encoder.load().digest,
        }
        weights = {name: value.contiguous() for name, value in self.model.state_dict().items()}
        return write_atomically(path, lambda p: save_file(weights, p, metadata=told))

    @classmethod
    def load(cls, path: str | Path | None = None) -> EncoderJudge:
        """Read what `save` wrote; without a path, the judge that comes with the kit.

        Raises
        ------
        ValueError
            If `save` did not write the file, or the judge was trained over another encoder than
            the one in use.
        """
        from safetensors import safe_open
        from safetensors.torch import load_file

        from rulekit.judges.networks import NETWORKS

        path = resource(WEIGHTS) if path is None else Path(path)
        with safe_open(path, "pt") as file:
            told = dict(file.metadata() or {})
            if not {"network", "relevant", "satisfied", "encoder"} <= told.keys():
                raise ValueError(
                    f"{path}: no encoder judge; allowed: a file that EncoderJudge.save wrote"
                )
        if told["encoder"] != (digest := Encoder.load().digest):
            raise ValueError(
                f"{path.name} was trained over an encoder with sha256 {told['encoder'][:12]}…, in "
                f"use is {digest[:12]}…; allowed: the same, or a judge trained over this one by "
                "rulekit.training.train_encoder_judge"
            )
        model = NETWORKS[told.pop("network")]()
        model.load_state_dict(load_file(path))
        relevant, satisfied = (tuple(json.loads(told.pop(n))) for n in ("relevant", "satisfied"))
        return cls(model.eval(), relevant, satisfied, told)

    @property
    def identity(self) -> str:
        """What a rating depends on besides the texts: all weights and the calibration."""
        weights = b"".join(v.numpy().tobytes() for v in self.model.state_dict().values())
        setting = [Encoder.load().digest, repr(self.model), sha256(weights)]
        return "encoder:" + sha256("\n".join([*setting, repr(self.relevant), repr(self.satisfied)]))

    def unseen(self, rules: RuleSet) -> list[str]:
        """Ids of the rules that it was not trained on, told by their texts.

        Parameters
        ----------
        rules
            Any rule set.
        """
        learned = set(json.loads(self.provenance.get("rules", "[]")))
        return [
            i for i, digest in zip(rules.ids, rules.digests, strict=True) if digest not in learned
        ]

    def caveats(self, rules: RuleSet) -> tuple[str, ...]:
        """That it never learned some of the rules, and what its ratings under such rules are worth."""
        new = self.unseen(rules)
        if not new:
            return ()
        which = "none" if len(new) == len(rules) else f"{len(rules) - len(new)}"
        return (f"The encoder judge was trained on {which} of these {len(rules)} rules. {UNSEEN}",)

    def rate(
        self,
        prompts: Sequence[str | list[dict]],
        responses: Sequence[str],
        rules: RuleSet,
        mask: np.ndarray | None = None,
    ) -> Rating:
        """Rate responses under rules, known or new ones, as `rulekit.judges.Judge.rate` says.

        One rule more costs next to nothing, so ratings outside the mask are made and left out.

        Raises
        ------
        ValueError
            If arguments do not fit, or a rule has more tokens than the network reads.

        Notes
        -----
        A network reads so many tokens of a prompt and of a response as its `reads` says, 254 each
        for the judge of the kit; what is longer is cut and counted. Sentences of a response that
        stand behind the cut are read by themselves, up to 32 in all.
        """
        wanted = wanted_cells(prompts, responses, rules, mask)
        rating = Rating.blank(*wanted.shape)
        cells = askable(prompts, responses, rules, wanted, rating.failures)
        for i in np.flatnonzero(cells.any(axis=1)).tolist():
            if not prompt_text(prompts[i]).strip() or not responses[i].strip():
                told = dict.fromkeys(((i, j) for j in np.flatnonzero(cells[i]).tolist()), _EMPTY)
                rating.failures |= told
                cells[i] = False
        rows, columns = (np.flatnonzero(cells.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return rating
        some = RuleSet(tuple(rules[int(j)] for j in columns))
        texts = [prompt_text(prompts[i]) for i in rows], [responses[i] for i in rows]
        rating.usage = self._cut(*texts, some)
        with keeping(rating):
            block, here = np.ix_(rows, columns), cells[np.ix_(rows, columns)]
            rating.probabilities[block] = np.where(
                here[..., None], self._rated(*texts, some), np.nan
            )
        return rating

    def _rated(self, prompts, responses, rules: RuleSet) -> np.ndarray:
        """Probabilities of every response under every rule, (n_responses, n_rules, 3)."""
        import torch

        asked = self.questions(prompts, responses, rules)
        settings = zip(asked, (self.relevant, self.satisfied), strict=True)
        relevant, satisfied = (torch.sigmoid(a * x + b) for x, (a, b) in settings)
        yes = relevant * satisfied
        return torch.stack([relevant - yes, 1 - relevant, yes], -1).numpy()

    def _cut(self, prompts: list[str], responses: list[str], rules: RuleSet) -> Usage:
        """What the network does not read of prompts and responses; a rule it reads as a whole."""
        from rulekit.judges.networks import tokens_over

        of_prompt, of_response, of_rule = self.model.reads
        for rule, over in zip(rules, tokens_over(rules.texts, of_rule), strict=True):
            if over:
                had = of_rule + over
                raise ValueError(f"rule {rule.id!r} has {had} tokens; allowed: up to {of_rule}")
        each = tokens_over(prompts, of_prompt), tokens_over(responses, of_response)
        lost = [sum(both) for both in zip(*each, strict=True)]
        return Usage(truncated=sum(n > 0 for n in lost), tokens_cut=sum(lost))

    def questions(self, prompts, responses, rules: RuleSet) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-odds before calibration, (n_responses, n_rules) each; parameters as for `rate`.

        That a rule is relevant, and that it is satisfied if it is.
        """
        from rulekit.judges.networks import network_logits

        texts = [prompt_text(p) for p in prompts]
        no, irrelevant, yes = network_logits(self.model, texts, responses, rules.texts).unbind(-1)
        return no.logaddexp(yes) - irrelevant, yes - no
