"""Scores of a run: from a table, a store or a judge, once for all notebooks, and never of other texts."""

import json
import warnings

import numpy as np
import pytest

import rulekit as rk
from rulekit import runs
from tests.runs.test_inputs import written


@pytest.fixture
def data(tmp_path):
    return runs.load_inputs(*written(tmp_path))


def drawn(data, seed=0):
    """Scores of these pairs and rules, drawn."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, len(data.pairs), len(data.rules)))
    return rk.Scores(a, b, identity=rk.Identity.of(data.rules, data.pairs))


def test_a_table_of_more_pairs_and_rules_in_another_order_is_aligned(data, tmp_path):
    scores = drawn(data)
    path = tmp_path / "scores.parquet"
    scores.rows(np.arange(len(data.pairs))[::-1]).columns([2, 0, 1]).write(path)
    some = runs.Inputs(data.pairs[3:9], rk.RuleSet(data.rules.rules[1:]))
    found = runs.load_scores(some, ratings=str(path))
    np.testing.assert_array_equal(found.a, scores.a[3:9, 1:])
    assert found.pair_ids == tuple(some.pairs["pair_id"])
    assert runs.rated_by(some, ratings=str(path)) == "ratings of the file scores.parquet"


def test_a_table_that_lacks_rules_or_pairs_or_has_other_texts_is_refused_by_name(data, tmp_path):
    path = str(tmp_path / "scores.parquet")
    drawn(data).columns([0]).write(path)
    lacking = f"rules '{data.rules.ids[1]}', '{data.rules.ids[2]}'; allowed"
    with pytest.raises(ValueError, match=lacking):
        runs.load_scores(data, ratings=path)
    drawn(data).rows(slice(1, None)).write(path)
    with pytest.raises(
        ValueError, match=r"no ratings of the pair 'p0-0'; .* 24 pairs \(it has 23\)"
    ):
        runs.load_scores(data, ratings=path)
    reworded = [rk.Rule(r.id, f"{r.text} Always.") for r in data.rules]
    drawn(runs.Inputs(data.pairs, rk.RuleSet(tuple(reworded)))).write(path)
    with pytest.raises(ValueError, match="has another text"):
        runs.load_scores(data, ratings=path)
    with pytest.raises(ValueError, match="judge or options beside the table"):
        runs.load_scores(data, "encoder", ratings=path)
    with pytest.raises(FileNotFoundError, match=r"no such file: none\.parquet"):
        runs.load_scores(data, ratings="none.parquet")


def test_a_table_with_gaps_is_refused(data, tmp_path):
    scores = drawn(data)
    rated = np.ones(scores.a.shape, bool)
    rated[0, 0] = False
    a, b = (np.where(rated, side, np.nan) for side in (scores.a, scores.b))
    rk.Scores(a, b, identity=scores.identity, rated=rated).write(tmp_path / "scores.parquet")
    with pytest.raises(ValueError, match=r"98\.6% is rated"):
        runs.load_scores(data, ratings=str(tmp_path / "scores.parquet"))


def test_new_rules_under_the_encoder_are_warned_of_and_noted_and_its_own_are_not(data, tmp_path):
    artefacts = tmp_path / "artefacts"
    with pytest.warns(UserWarning, match="trained on none of these 3 rules"):
        runs.load_scores(data, artefacts=artefacts)
    noted = json.loads((artefacts / "notes/ratings.json").read_text())
    assert len(noted) == 1
    assert "Check some labels by hand" in noted[0]
    known = runs.Inputs(data.pairs[:2], rk.RuleSet(rk.RuleSet.load("embedded").rules[:3]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs.load_scores(known, artefacts=tmp_path / "other")
    assert runs.collect_notes(tmp_path / "other") == []


@pytest.mark.filterwarnings("ignore:The encoder judge")
def test_a_run_rates_once_and_its_next_notebook_takes_the_same_scores(data, tmp_path, monkeypatch):
    artefacts = tmp_path / "artefacts"
    first = runs.load_scores(data, artefacts=artefacts)
    monkeypatch.setattr("rulekit.judges.judge", None)  # whoever rates again, fails
    again = runs.load_scores(data, artefacts=artefacts)
    np.testing.assert_array_equal(again.a, first.a)
    assert again.identity == first.identity
    monkeypatch.undo()
    fewer = runs.Inputs(data.pairs[:5], data.rules)
    assert runs.load_scores(fewer, artefacts=artefacts).n_pairs == 5
    with rk.Store(artefacts / "ratings.sqlite") as store:
        assert len(store) == 48 * 3  # 24 pairs of responses, nothing rated twice
    told = json.loads((artefacts / "scores.json").read_text())
    assert told["rated_by"] == "ratings of the judge 'encoder'"


@pytest.mark.filterwarnings("ignore:The encoder judge")
def test_a_store_is_read_without_its_judge_and_what_it_lacks_is_named(data, tmp_path):
    path = str(tmp_path / "mine.sqlite")
    few = rk.RuleSet(data.rules.rules[:2])
    expected = rk.annotate(data.pairs, few, rk.judge("encoder"), store=path)
    found = runs.load_scores(runs.Inputs(data.pairs, few), ratings=path)
    np.testing.assert_array_equal(found.discrepancy, expected.discrepancy)
    with pytest.raises(ValueError, match=r"48 ratings are not in it, such as of response_[ab] of"):
        runs.load_scores(data, ratings=path)
    whole = runs.load_scores(data, "encoder", ratings=path)
    np.testing.assert_array_equal(whole.a[:, :2], expected.a)
    with rk.Store(path) as store:
        assert len(store) == 48 * 3
        response = rk.rating.store.keys([b"0" * 16])
        store.add("another judge", response, response, [[[0.2, 0.3, 0.5]]])
    with pytest.raises(ValueError, match="ratings of 2 judges"):
        runs.load_scores(data, ratings=path)


def test_the_ratings_of_a_data_set_are_taken_where_no_judge_is_named():
    data = runs.load_inputs()
    scores = runs.load_scores(data)
    np.testing.assert_array_equal(scores.a, rk.sources.load_ratings("embedded")[1].a)
    assert runs.rated_by(data) == "ratings that come with the data set 'embedded'"
    with pytest.raises(ValueError, match="unknown judge 'me'; allowed: encoder"):
        runs.load_scores(data, "me")
    with pytest.raises(ValueError, match="judge 'encoder' has no option 'model'"):
        runs.load_scores(data, "encoder", {"model": "x"})


def test_some_rules_of_a_data_set_in_another_order_are_found_by_their_texts():
    rules = rk.RuleSet.load("embedded")
    some = rk.RuleSet((rk.Rule("mine", rules.texts[7]), rules.rules[2]))
    whole = runs.load_inputs()
    found = runs.load_scores(runs.Inputs(whole.pairs[5:9], some, source="embedded"))
    expected = rk.sources.load_ratings("embedded")[1]
    np.testing.assert_array_equal(found.a, expected.a[5:9][:, [7, 2]])
    assert found.rule_ids == ("mine", rules.ids[2])
    assert found.pair_ids == tuple(whole.pairs["pair_id"][5:9])


@pytest.mark.parametrize("name", ["hh-rule-votes", "hh-read", "xstest-read"])
def test_recorded_ratings_of_every_data_set_that_has_some_are_its_own(name, real_data):
    data = runs.load_inputs(name)
    assert data.has_recorded
    np.testing.assert_array_equal(
        runs.load_scores(data).discrepancy, rk.sources.load_ratings(name)[1].discrepancy
    )


def test_ratings_of_a_judge_that_compares_are_read_from_its_store(real_data, tmp_path):
    data = runs.load_inputs("hh-rule-votes")
    some = runs.Inputs(data.pairs[:8], data.rules, source="hh-rule-votes")
    path = str(tmp_path / "mine.sqlite")
    recorded = rk.judge("recorded", source="hh-rule-votes")
    expected = rk.annotate(some.pairs, some.rules, recorded, store=path)
    found = runs.load_scores(some, ratings=path)
    np.testing.assert_array_equal(found.discrepancy, expected.discrepancy)
