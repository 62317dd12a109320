"""What a judge is worth: measures on planted judges, and distillation."""

import numpy as np
import pytest

import rulekit as rk
from rulekit.inputs import sources
from rulekit.inputs.sources import Labelled
from rulekit.judges import Judge, Rating
from rulekit.studies import judges as judge_studies


@pytest.fixture(scope="module")
def splits():
    return {s: sources.load_labelled("embedded", s) for s in sources.SPLITS}


class Planted(Judge):
    """A judge that knows the labels of some data and gives P(yes) = ½ ± `certainty` / 2."""

    identity = "planted"

    def __init__(self, data: Labelled, certainty: float, swap: float = 0.0):
        rng = np.random.default_rng(0)
        truth = np.where(rng.random(data.scores.shape) < swap, -data.scores, data.scores)
        self.p = np.stack([0.5 - certainty * truth / 2, 0 * truth, 0.5 + certainty * truth / 2], -1)

    def rate(self, prompts, responses, rules, mask=None):
        return Rating(self.p)


def test_agreement_knows_a_perfect_a_blind_and_a_reversed_judge():
    rng = np.random.default_rng(1)
    truth = rng.choice([-1.0, 0.0, 1.0], (300, 4))
    teacher = rk.Scores.from_discrepancy(truth)
    groups = np.repeat(np.arange(60), 5)
    for judge, expected in ((truth, 1.0), (rng.uniform(-1, 1, truth.shape), 0.5), (-truth, 0.0)):
        table = judge_studies.judge_agreement(rk.Scores.from_discrepancy(judge), teacher, groups)
        last = table.row(-1, named=True)
        assert last["rule"] == "all"
        assert last["auc"] == pytest.approx(expected, abs=0.06)
        assert last["low"] <= last["auc"] <= last["high"]
        assert last["n"] == (truth != 0).sum()


def test_agreement_intervals_keep_the_ratings_of_a_prompt_together():
    """Twenty rules that repeat one another say no more than one: the interval must not shrink."""
    rng = np.random.default_rng(2)
    one, judge = rng.choice([-1.0, 1.0], (100, 1)), rng.uniform(-1, 1, (100, 1))
    judge = 0.6 * judge + 0.4 * one
    width = []
    for copies in (1, 20):
        s = rk.Scores.from_discrepancy(np.repeat(judge, copies, 1))
        teacher = rk.Scores.from_discrepancy(np.repeat(one, copies, 1))
        last = judge_studies.judge_agreement(s, teacher).row(-1, named=True)
        width.append(last["high"] - last["low"])
    assert width[1] > 0.8 * width[0]


def test_propositions_are_ranked_by_people_s_labels_and_rare_ones_left_out(splits):
    data = splits["validation"]
    labels = np.where(data.scores > 0, 1.0, -1.0)[:, :6]
    labels[:, 5] = -1
    labels[:3, 5] = 1  # too few to rank
    rules = rk.RuleSet(data.rules.rules[:6])
    some = Labelled(data.prompts, data.responses, rules, labels)
    table = rk.studies.proposition_table(some, Planted(some, 0.8))
    enough = [min(n, 96 - n) >= 5 for n in (labels > 0).sum(axis=0)]
    found = table["judge_auc"].to_list()
    assert [v is not None for v in found[:-1]] == enough
    assert found[-1] == 1.0
    blind = rk.studies.proposition_table(some, Planted(some, 0.8, swap=0.5)).row(-1, named=True)
    assert 0.3 < blind["judge_auc"] < 0.7
    assert blind["judge_low"] < blind["judge_auc"] < blind["judge_high"]
    assert blind["majority"] > 0.5


def test_designs_are_compared_on_every_so_manieth_rule_with_intervals(splits):
    train, validation = splits["train"], splits["validation"]
    table = judge_studies.network_table(["frozen"], train, validation, rules_every=20)
    assert table["network"].to_list() == ["each rule's frequency", "frozen"]
    row = table.row(1, named=True)
    assert row["log_loss"] < table["log_loss"][0] + 0.05
    for name in ("log_loss", "relevant_auc", "satisfied_auc"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    with pytest.raises(ValueError, match="rules_every is 0"):
        judge_studies.network_table(["frozen"], train, validation, rules_every=0)


def test_distilling_a_teacher_that_can_be_learned_raises_agreement_with_it():
    pairs = rk.sources.load("embedded")
    rules, scores = rk.sources.load_ratings("embedded")
    kept = np.arange(0, len(rules), 10)
    some, few = rk.RuleSet(tuple(rules[int(j)] for j in kept)), scores.columns(kept)
    figures, table = judge_studies.distillation_report(pairs, some, few)
    assert figures["n_pairs_seen"] + figures["n_pairs_unseen"] == len(pairs)
    assert set(table["judge"]) == {"distilled", "undistilled"}
    assert figures["distilled_agreement"]["auc"] > 0.6
    cost = judge_studies.cost_ratio(pairs, some)
    assert cost["judge_tokens"] > cost["encoder_tokens"]
    assert judge_studies.cost_ratio(pairs, some, 16e9)["ratio"] == pytest.approx(2 * cost["ratio"])
