"""The offline judge: encoder vectors of rule, prompt and response, and a small trained head.

Each text is encoded once; a rating is then a matrix product, so that 100 rules cost hardly more
than one. The head is trained on the annotations of the embedded train split and cached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rulekit.encoder import Encoder
from rulekit.files import cache_folder, sha256, write_atomically
from rulekit.pairs import prompt_text
from rulekit.rules import RuleSet
from rulekit.scores import Scores

ANSWERS = ("no", "irrelevant", "yes")  # the classes of the head, score -1, 0, +1
_HIDDEN, _EPOCHS, _RATE, _DECAY, _DROPOUT = 64, 12, 3e-3, 1e-2, 0.2


@dataclass(frozen=True, eq=False)
class EncoderJudge:
    """A trained head over encoder vectors."""

    head: object  # torch.nn.Module, features (n, 6 dim) → logits (n, 3)

    @classmethod
    def train(
        cls,
        prompts: list[str],
        responses: list[str],
        rules: RuleSet,
        scores: np.ndarray,
        seed: int = 0,
    ) -> EncoderJudge:
        """Train the head on annotated responses.

        Parameters
        ----------
        prompts, responses
            Texts, (n_responses,) each.
        rules
            n_rules rules.
        scores
            -1 violated, 0 irrelevant, +1 satisfied, (n_responses, n_rules).
        seed
            Of initialisation, dropout and order.
        """
        import torch

        judge = cls(_head(3 * Encoder.load().model.config.hidden_size, seed))
        p, x, r = judge._vectors(prompts, responses, rules)
        target = torch.as_tensor(np.asarray(scores) + 1, dtype=torch.long)  # (n_responses, n_rules)
        optimizer = torch.optim.AdamW(judge.head.parameters(), lr=_RATE, weight_decay=_DECAY)
        order = torch.Generator().manual_seed(seed)
        judge.head.train()
        for _ in range(_EPOCHS):
            for batch in torch.randperm(len(x), generator=order).split(16):
                logits = judge.head(_features(p[batch], x[batch], r))
                loss = torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), target[batch].flatten()
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        judge.head.eval()
        return judge

    @classmethod
    def load(cls) -> EncoderJudge:
        """The judge trained on the train split of the embedded corpus, from the cache if it is there."""
        import torch

        from rulekit import sources

        pairs = sources.load("embedded").filter(pl.col("split") == "train")
        rules, _ = sources.load_ratings("embedded")
        prompts, responses, scores = annotated_responses(pairs, rules)
        setting = (ANSWERS, _HIDDEN, _EPOCHS, _RATE, _DECAY, _DROPOUT, prompts, responses)
        key = sha256(Encoder.load().digest + repr(setting) + rules.hash + sha256(scores.tobytes()))
        path = cache_folder("judges") / f"encoder-{key[:16]}.pt"
        if path.is_file():
            judge = cls(_head(3 * Encoder.load().model.config.hidden_size, 0).eval())
            judge.head.load_state_dict(torch.load(path, weights_only=True))
            return judge
        judge = cls.train(prompts, responses, rules, scores)
        write_atomically(path, lambda p: torch.save(judge.head.state_dict(), p))
        return judge

    def rate(self, prompts: list[str], responses: list[str], rules: RuleSet) -> np.ndarray:
        """P(no), P(irrelevant), P(yes) of each response under each rule, (n_responses, n_rules, 3)."""
        import torch

        p, x, r = self._vectors(prompts, responses, rules)
        with torch.inference_mode():
            parts = [self.head(_features(p[i], x[i], r)).softmax(-1)
                     for i in torch.arange(len(x)).split(64)]  # fmt: skip
        return torch.cat(parts).numpy()

    def score(self, pairs: pl.DataFrame, rules: RuleSet) -> Scores:
        """Scores of pairs; a response that occurs in several pairs is rated once."""
        prompts = [prompt_text(p) for p in pairs["prompt"].to_list()]
        sides = [list(zip(prompts, pairs[c], strict=True)) for c in ("response_a", "response_b")]
        row = {key: i for i, key in enumerate(dict.fromkeys(sides[0] + sides[1]))}
        p = self.rate([k[0] for k in row], [k[1] for k in row], rules)
        score, relevance = p[..., 2] - p[..., 0], 1 - p[..., 1]
        a, b = ([row[key] for key in side] for side in sides)
        return Scores(score[a], score[b], ((relevance[a] + relevance[b]) / 2).clip(0, 1),
                      rules.ids, pairs["pair_id"].to_list())  # fmt: skip

    def _vectors(self, prompts: list[str], responses: list[str], rules: RuleSet):
        import torch

        encoder = Encoder.load()
        return [torch.from_numpy(encoder.embed(t)) for t in (prompts, responses, rules.texts)]


def annotated_responses(
    pairs: pl.DataFrame, rules: RuleSet
) -> tuple[list[str], list[str], np.ndarray]:
    """The distinct annotated responses of ranked pairs: prompts, responses, scores -1/0/+1."""
    from rulekit.sources import annotations

    names, scores = annotations(pairs, rules)
    texts = {}
    for row in pairs.iter_rows(named=True):
        for side in "ab":
            texts[row[f"response_id_{side}"]] = (
                prompt_text(row["prompt"]),
                row[f"response_{side}"],
            )
    return [texts[n][0] for n in names], [texts[n][1] for n in names], scores


def _head(n_features: int, seed: int):
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(n_features, _HIDDEN),
            torch.nn.GELU(),
            torch.nn.Dropout(_DROPOUT),
            torch.nn.Linear(_HIDDEN, len(ANSWERS)),
        )


def _features(prompt, response, rule):
    """Interactions of each rule with prompt and response, (n_responses, n_rules, 3 dim).

    Products of unit vectors are scaled to unit variance, so that the head sees all at one scale.
    """
    scale = rule.shape[-1] ** 0.5
    p, x, r = prompt[:, None], response[:, None], rule[None]
    import torch

    return torch.cat([p * r * scale, x * r * scale, r.expand(len(x), -1, -1)], dim=-1) * scale
