"""What the encoder judge says of rules it never learned, and the trial whose figures it quotes."""

import re

import polars as pl

import rulekit as rk
from rulekit.judges.encoder import UNSEEN
from rulekit.training import encoder_judge
from tests import medical


def test_it_knows_which_rules_it_learned_by_their_texts_and_not_by_their_ids():
    judge, kit = rk.judge("encoder"), rk.RuleSet.load("embedded")
    assert judge.unseen(kit) == []
    assert judge.caveats(kit) == ()
    renamed = rk.RuleSet((rk.Rule("mine", kit.rules[0].text), rk.Rule(kit.ids[1], "It is new.")))
    assert judge.unseen(renamed) == [kit.ids[1]]
    (said,) = judge.caveats(renamed)
    assert "was trained on 1 of these 2 rules" in said
    (said,) = judge.caveats(rk.RuleSet.from_texts(medical.RULES))
    assert "was trained on none of these 12 rules" in said


def test_the_figures_of_the_warning_are_those_of_the_trial():
    pairs, rules = medical.pairs(), rk.RuleSet.from_texts(medical.RULES)
    scores = rk.annotate(pairs, rules, rk.judge("encoder"), progress=False)
    labels = rk.label(scores, rk.select(scores, method="all"))
    whole = rk.accuracy(labels, pairs)
    careless = pairs.filter(pl.col("pair_id").str.ends_with("careless"))
    few = rk.accuracy(
        rk.label(scores.of(careless), rk.select(scores.of(careless), method="all")), careless
    )
    quoted = [int(n) for n in re.findall(r"\d+", UNSEEN.replace("12 new rules", ""))]
    found = [whole.n, *(100 * x for x in (whole.value, whole.low, whole.high, few.value))]
    assert quoted == [round(x) for x in found]
    assert few.value < 0.5, "the warning calls its labels often wrong"


def test_other_judges_have_nothing_to_confess_and_a_trained_one_knows_its_rules(monkeypatch):
    assert rk.judge("recorded").caveats(rk.RuleSet.from_texts(["It is new."])) == ()
    train = rk.sources.load_labelled("embedded", "train")
    few = rk.sources.Labelled(
        train.prompts[:8],
        train.responses[:8],
        rk.RuleSet(train.rules.rules[:3]),
        train.scores[:8, :3],
    )
    judge = encoder_judge.train_encoder_judge(few, network="frozen")
    assert judge.unseen(few.rules) == []
    assert judge.unseen(train.rules) == train.rules.ids[3:]
