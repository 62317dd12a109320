"""A judge on texts and rules it has never seen: people's labels of propositions, refusals.

Labelled responses or pairs come in, frames and a sentence go out. Notebook 16 shows them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.encoder import Encoder
from rulekit.inputs import sources
from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.sources import Labelled
from rulekit.judges.contract import Judge, score
from rulekit.labels import accuracy, label
from rulekit.measures import auc, auc_resampled, bootstrap

_RESAMPLES = 200


def proposition_table(data: Labelled, judge: Judge, seed: int = 0) -> pl.DataFrame:
    """AUC of a judge's score for each rule against people's labels, beside baselines; last row: all.

    Parameters
    ----------
    data
        Responses labelled +1 or -1 under every rule.
    judge
        Of single responses.
    seed
        Of the overall interval.

    Notes
    -----
    `judge` is the score P(yes) - P(no), which is all that selection and labels see: above ½ it ranks
    responses of which the proposition is true above the others. `p_yes` is P(yes) alone, which also
    tells whether the topic of a rule comes up: a judge that knows topics and no more has a high AUC
    there and ½ in its score. `cosine` is the similarity of the encoder's vectors of rule and response, `best_sentence` that of
    the rule and the nearest sentence of the response, nothing trained in either;
    `majority` is the accuracy of always giving the more frequent answer, whose AUC is ½. Rules
    with fewer than five cases of a kind have no AUC of their own. The overall AUC is the mean
    over the rules that have one, its interval a bootstrap over responses.
    """
    from rulekit.judges.networks import sentences

    p = judge.rate(data.prompts, data.responses, data.rules).complete()
    encoder = Encoder.load()
    rules = encoder.embed(data.rules.texts).T
    cosine = encoder.embed(data.responses) @ rules
    split = [sentences(text) for text in data.responses]
    near = encoder.embed([s for part in split for s in part]) @ rules
    best = np.maximum.reduceat(near, np.cumsum([0, *map(len, split[:-1])]))
    scores = {"judge": p[..., 2] - p[..., 0], "p_yes": p[..., 2]}
    scores |= {"cosine": cosine, "best_sentence": best}
    truth = data.scores > 0
    rows = []
    for j, name in enumerate(data.rules.ids):
        n, row = int(truth[:, j].sum()), {"rule": name}
        if min(n, len(truth) - n) >= 5:
            for kind, found in scores.items():
                value, low, high = auc(found[:, j], truth[:, j])
                row |= {f"{kind}_auc": value, f"{kind}_low": low, f"{kind}_high": high}
        rows.append(
            row | {"majority": max(n, len(truth) - n) / len(truth), "n_true": n, "n": len(truth)}
        )
    table = pl.DataFrame(rows, infer_schema_length=None)
    use = [j for j, v in enumerate(table["judge_auc"]) if v is not None]
    overall = {"rule": "all"}
    for kind, found in scores.items():
        areas = [auc_resampled(found[:, j], truth[:, j]) for j in use]
        low, high = bootstrap(
            lambda weights, areas=areas: np.mean([area(weights) for area in areas], axis=0),
            range(len(truth)),
            resamples=_RESAMPLES,
            seed=seed,
        )
        overall |= {
            f"{kind}_auc": table[f"{kind}_auc"].mean(),
            f"{kind}_low": float(low),
            f"{kind}_high": float(high),
        }
    overall |= {"majority": table["majority"].mean(), "n_true": int(truth.sum()), "n": truth.size}
    return pl.concat([table, pl.DataFrame([overall])], how="diagonal_relaxed")


def proposition_findings(table: pl.DataFrame) -> str:
    """What a frame of `proposition_table` says of the judge, in a sentence made of its figures."""
    row = table.row(-1, named=True)

    def told(name: str) -> str:
        return f"{row[f'{name}_auc']:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"

    low, high = row["judge_low"], row["judge_high"]
    verdict = "better than" if low > 0.5 else "worse than" if high < 0.5 else "no better than"
    return (
        f"Under rules that it never saw, the judge's score ranks {verdict} chance: mean AUC "
        f"{told('judge')} over {len(table) - 1} propositions. P(yes) alone has {told('p_yes')}: it "
        f"knows the topic of a rule sooner than whether the rule is kept. Nothing trained: the "
        f"similarity of rule and response {told('cosine')}, of the rule and the nearest sentence "
        f"{told('best_sentence')}."
    )


def unread_pairs(pairs: pl.DataFrame, source: str) -> pl.DataFrame:
    """The pairs whose prompts the kit's offline judge has not learned from.

    Parameters
    ----------
    pairs
        Of ``hh-rule-votes`` or ``xstest``.
    source
        The readings of some of them: ``hh-read`` or ``xstest-read``.
    """
    read = prompt_groups(sources.load(source)).unique()
    return pairs.filter(~prompt_groups(pairs).is_in(read.implode()))


def direction_table(
    pairs: pl.DataFrame, rules: RuleSet, judge: Judge, per_subset: int = 60, seed: int = 0
) -> pl.DataFrame:
    """Does a judge's label go the right way where a prompt should be refused, and where not?

    Parameters
    ----------
    pairs
        Canonical frame with a column ``subset``, such as ``xstest`` has.
    rules
        Whose scores are added up.
    judge
        Who rates.
    per_subset
        Pairs drawn from each subset at most.
    seed
        Of the draw.

    Returns
    -------
    A row a subset, its name and the fields of `measures.Accuracy`.
    """
    rows = []
    for (name,), part in pairs.group_by("subset", maintain_order=True):
        some = part.sample(min(per_subset, len(part)), seed=seed)
        found = accuracy(label(score(some, rules, judge)), some)
        rows.append({"subset": name, **found.as_dict()})
    return pl.DataFrame(rows)
