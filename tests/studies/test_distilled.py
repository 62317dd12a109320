"""Judges beside each other on the same ratings: known answers, a plain twin, what is asked for."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit import studies
from rulekit.encoder import Encoder
from rulekit.judges import Judge, Rating, wanted_cells


class Known(Judge):
    """Says what the table says, sure of it to a degree; NaN where nobody asked."""

    identity = "known"

    def __init__(self, data, turned: bool = False) -> None:
        pairs = zip(data.prompts, data.responses, strict=True)
        self.row = {(str(p), r): i for i, (p, r) in enumerate(pairs)}
        self.scores, self.ids = data.scores * (-1 if turned else 1), data.rules.ids
        self.asked = 0

    def rate(self, prompts, responses, rules, mask=None):
        wanted = wanted_cells(prompts, responses, rules, mask)
        self.asked += int(wanted.sum())
        rating = Rating.blank(*wanted.shape)
        rows = [self.row[str(p), r] for p, r in zip(prompts, responses, strict=True)]
        yes = 0.5 + 0.4 * self.scores[rows][:, [self.ids.index(i) for i in rules.ids]]
        p = np.stack([1 - yes, 0 * yes, yes], -1)
        rating.probabilities[wanted] = p[wanted]
        return rating


@pytest.fixture(scope="module")
def data():
    return rk.sources.load_labelled("embedded", "test")


def test_a_judge_that_knows_is_right_and_one_turned_round_is_wrong(data):
    right, wrong = Known(data), Known(data, turned=True)
    table = studies.judges_beside({"right": right, "wrong": wrong}, data, prompts=6, rules_every=4)
    assert table["value"].to_list() == [1, 0]
    assert table["less_value"].to_list() == [0, -1]
    assert table["calibration_error"].to_list() == pytest.approx([0.1, 0.9])
    assert right.asked == table["n"][0] < data.scores[:, ::4].size / 10, (
        "irrelevant ones are not asked"
    )
    with pytest.raises(ValueError, match="allowed: 1 or more"):
        studies.judges_beside({"right": right}, data, prompts=0)


def test_the_area_is_the_share_of_pairs_in_order(data):
    judge = rk.judge("encoder")
    table = studies.judges_beside({"encoder": judge}, data, prompts=8)
    few = studies.judges_beside({"encoder": judge, "again": judge}, data, prompts=8)
    assert few["less_value"].to_list() == few["less_low"].to_list() == [0, 0]
    texts = np.array([rk.inputs.pairs.conversation(p) for p in data.prompts])
    kept = np.random.default_rng(0).permutation(np.array(sorted(set(texts))))[:8]
    rows = np.flatnonzero(np.isin(texts, kept))
    asked = [[x[i] for i in rows] for x in (data.prompts, data.responses)]
    p, scores = judge.rate(*asked, data.rules).probabilities, data.scores[rows]
    yes = p[..., 2] / (p[..., 0] + p[..., 2])
    up, down = yes[scores > 0], yes[scores < 0]
    share = np.mean((up[:, None] > down) + 0.5 * (up[:, None] == down))
    assert table["value"][0] == pytest.approx(share, abs=1e-6)
    assert table["n"][0] == len(up) + len(down)
    assert table["low"][0] < share < table["high"][0]


def test_the_sign_of_a_vote_is_told_from_two_responses():
    data = rk.sources.load_labelled("embedded", "test")
    pairs = rk.load_pairs("embedded").filter(pl.col("split") == "test").head(60)
    rules, scores = rk.sources.load_ratings("embedded")
    table = studies.signs_beside(
        {"known": Known(data), "turned": Known(data, turned=True)}, pairs, rules, scores
    )
    assert table["value"].to_list() == [1, 0]
    assert table["n"][0] == int((np.abs(scores.of(pairs).discrepancy) > 0.5).sum())


def test_the_nearest_sentence_needs_no_training():
    rules = rk.RuleSet.from_texts(["It names a doctor.", "It thanks the user."])
    parts = ["The train is late.", "See a doctor."], ["Thank you for asking.", "It rains."]
    p = studies.NearestSentence().rate(["Why?"] * 2, list(map(" ".join, parts)), rules).complete()
    encoder = Encoder.load()
    rule = encoder.embed(rules.texts)
    for i, sentences in enumerate(parts):
        best = (encoder.embed(sentences) @ rule.T).max(axis=0)
        assert p[i, :, 2] == pytest.approx((1 + best) / 2, abs=1e-5)
    assert np.allclose(p.sum(-1), 1)
