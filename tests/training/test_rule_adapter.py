"""Rule Adapters of both kinds name planted rules, know which rules they name, and survive the disk."""

import numpy as np
import polars as pl
import pytest
from transformers import AutoModelForSequenceClassification

import rulekit as rk
from rulekit.inputs import Identity
from rulekit.training import RewardModel, RuleAdapter, train_adapter
from tests.rating.helpers import HashJudge
from tests.training.helpers import WORDS, make_model, settings, some_pairs

RULES = rk.RuleSet.from_texts([f"The response mentions {word}." for word in WORDS[:6]])


@pytest.fixture(scope="module")
def planted() -> tuple[pl.DataFrame, rk.Selection]:
    """Rule j is to be named where word j occurs, two rules a pair."""
    rng = np.random.default_rng(0)
    named = np.sort(np.argsort(rng.random((400, 6)), axis=1)[:, :2], axis=1)
    rows = [
        {
            "pair_id": str(i),
            "prompt": "people",
            "preference": 1,
            "response_a": WORDS[a],
            "response_b": f"{WORDS[b]} no",
        }
        for i, (a, b) in enumerate(named)
    ]
    pairs = pl.DataFrame(rows)
    return pairs, rk.Selection(named, "planted", 6, identity=Identity.of(RULES, pairs))


@pytest.fixture(scope="module")
def whole(planted, tmp_path_factory) -> RuleAdapter:
    """Of the engine, trained on the first 300 pairs; the selection stands in another order."""
    pairs, selection = planted
    folder = tmp_path_factory.mktemp("adapter")
    fields = {"epochs": 12, "pairs_per_step": 20, "token_budget": 1024, "learning_rate": 4e-3}
    return train_adapter(
        pairs[:300],
        selection.rows(np.arange(400)[::-1]),
        settings(make_model(folder / "base"), **fields),
        output=folder / "run",
        evaluation=pairs[300:],
        evaluation_selection=selection,
    )


def test_the_engine_trains_an_adapter_that_names_planted_rules(planted, whole):
    """The plain folder has the rules' ids as labels; sides do not matter."""
    pairs, selection = planted
    assert whole.metrics["micro_f1"] > 0.95
    assert whole.metrics["recall_at_k"] > 0.95  # of as many rules as are to be named
    swapped = pairs.rename({"response_a": "response_b", "response_b": "response_a"})
    assert whole.probabilities(swapped[300:]) == pytest.approx(
        whole.probabilities(pairs[300:]), abs=1e-6
    )
    found = np.sort(whole.select(pairs[300:], 2).indices, axis=1)
    assert (found == selection.indices[300:]).mean() > 0.95
    plain = AutoModelForSequenceClassification.from_pretrained(whole.model.folder)
    assert plain.config.id2label == dict(enumerate(RULES.ids))
    assert plain.config.problem_type == "multi_label_classification"


@pytest.mark.parametrize("kind", ["frozen", "engine"])
def test_an_adapter_names_its_rules_also_after_the_disk(planted, whole, kind, tmp_path):
    pairs, selection = planted
    adapter = whole if kind == "engine" else train_adapter(pairs[:60], selection)
    assert adapter.identity == Identity.of(RULES)
    back = RuleAdapter.load(adapter.save(tmp_path / "saved"))
    assert back.identity.rules_hash == RULES.hash
    assert back.metrics == adapter.metrics
    seen = pairs[300:320]
    named = back.select(seen, 3)
    assert (named.indices == adapter.select(seen, 3).indices).all()
    assert named.identity == Identity.of(RULES, seen)
    rated = rk.annotate(seen, RULES, HashJudge(), only=named)
    assert (rated.rated.sum(axis=1) == 3).all()
    turned = rk.RuleSet(RULES.rules[::-1])
    again = rk.annotate(seen, turned, HashJudge(), only=named)
    assert np.array_equal(again.aligned(rated.identity).a, rated.a, equal_nan=True)
    other = rk.RuleSet.from_texts([f"Another rule {j}." for j in range(6)])
    with pytest.raises(ValueError, match="rule 'r000' has another text"):
        rk.annotate(seen, other, HashJudge(), only=named)
    with pytest.raises(ValueError, match=r"k is 7; allowed: 1 to 6"):
        back.select(seen, 7)


def test_what_is_no_adapter_is_refused(planted, whole, base, tmp_path):
    pairs, selection = planted
    (tmp_path / "a.npz").write_text("nothing")
    np.savez(tmp_path / "b.npz", weight=np.zeros(3))
    for path, kind in (("a.npz", ValueError), ("b.npz", ValueError), ("c", FileNotFoundError)):
        with pytest.raises(kind, match=path):
            RuleAdapter.load(tmp_path / path)
    with pytest.raises(ValueError, match="no Rule Adapter"):
        RuleAdapter.load(base)
    with pytest.raises(ValueError, match="holds an adapter"):
        RewardModel.load(whole.model.folder)
    with pytest.raises(ValueError, match="'p0' is not in it"):
        train_adapter(some_pairs(3), selection)
    with pytest.raises(ValueError, match="target is NoneType; allowed for an adapter: a Selection"):
        train_adapter(pairs, None)
    unnamed = rk.Selection(selection.indices, "planted", 6)
    with pytest.raises(ValueError, match="a selection for 400 pairs; allowed: 3"):
        train_adapter(pairs[:3], unnamed)
    assert train_adapter(pairs, unnamed, epochs=1).identity == Identity()


def test_a_run_with_rules_of_other_texts_is_another_run(planted, base, tmp_path):
    pairs, selection = planted
    given = {"output": tmp_path / "run", "max_steps": 1}
    train_adapter(pairs[:8], selection, settings(base), **given)
    other = rk.RuleSet.from_texts([f"Another rule {j}." for j in range(6)])
    changed = rk.Selection(selection.indices, "planted", 6, identity=Identity.of(other, pairs))
    with pytest.raises(ValueError, match="a run with another rule_digests"):
        train_adapter(pairs[:8], changed, settings(base), **given)


def test_a_linear_adapter_with_an_output_leaves_a_card_and_is_found_there_again(planted, tmp_path):
    pairs, selection = planted
    given = {"output": tmp_path / "run", "evaluation_share": 0.5}
    more = pairs.with_columns(prompt=pl.col("pair_id"))
    adapter = train_adapter(more, selection, **given)
    assert adapter.metrics["n"] > 100
    assert (
        "one logit a rule. It is a linear layer" in (tmp_path / "run/model/README.md").read_text()
    )
    back = RuleAdapter.load(tmp_path / "run" / "model")
    assert (back.model.weight == adapter.model.weight).all()
    assert train_adapter(more, selection, **given).metrics == adapter.metrics
