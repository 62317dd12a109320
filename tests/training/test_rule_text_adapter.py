"""The adapter that reads rules' texts."""

import numpy as np
import polars as pl
import pytest

from rulekit.inputs import Identity
from rulekit.selection.registry import Selection


def test_the_rule_text_adapter_names_rules_it_never_saw(tmp_path):
    """Of the rules about a pair's topic some are held out in training and still found."""
    import rulekit as rk

    subjects = "cats trains recipes guns medicine money gardens music exams travel"
    topics = subjects.split()
    forms = [
        "The response mentions {}.",
        "It gives advice about {}.",
        "It warns of dangers of {}.",
        "It asks a question about {}.",
    ]
    rules = rk.RuleSet.from_texts([form.format(topic) for topic in topics for form in forms])
    rows = [
        {
            "pair_id": f"{t}{i}",
            "prompt": f"{opening} {t}?",
            "preference": 1,
            "response_a": f"{t.capitalize()} are a fine subject, number {i}.",
            "response_b": f"I cannot talk about {t}.",
        }
        for t in topics
        for i, opening in enumerate(("What about", "Tell me more of", "Do you know"))
    ]
    pairs = pl.DataFrame(rows)
    about = np.array(
        [[4 * topics.index(t) + f for f in range(4)] for t in topics for _ in range(3)]
    )
    planted = Selection(about, "planted", len(rules))
    report = rk.training.held_out_rules_report(pairs, rules, planted)
    found = {row["name"]: row for row in report.iter_rows(named=True)}
    for name in ("unseen rules", "unseen rules, within a pair", "seen rules"):
        assert found[name]["value"] > 0.9
    for row in found.values():
        assert row["low"] <= row["value"] <= row["high"] <= 1
    copies = pairs.with_columns(pair_id=pl.format("{}-", "pair_id"))
    twice = rk.training.held_out_rules_report(
        pl.concat([pairs, copies]), rules, Selection(np.concatenate([about, about]), "planted", 40)
    )
    widths = [frame["high"][3] - frame["low"][3] for frame in (report, twice)]
    assert widths[1] == pytest.approx(widths[0])  # of the similarity: copies are the same prompts
    adapter = rk.training.train_rule_text_adapter(pairs, rules, planted, epochs=100)
    back = rk.training.RuleTextAdapter.load(adapter.save(tmp_path / "a.npz"))
    new = rk.RuleSet.from_texts(["It names a kind of piano.", "It speaks of pistols."])
    assert (back.logits(pairs, new) == adapter.logits(pairs, new)).all()
    assert adapter.probabilities(pairs, new).shape == (30, 2)
    assert adapter.select(pairs, rules, 3).k == 3
    with pytest.raises(ValueError, match="selection is of 30 pairs and 40 rules"):
        rk.training.train_rule_text_adapter(pairs, new, planted)
    known = Selection(about, "planted", len(rules), identity=Identity.of(rules, pairs))
    turned = rk.RuleSet(rules.rules[::-1])
    same = rk.training.train_rule_text_adapter(pairs[::-1], turned, known, epochs=100)
    both = [a.logits(pairs, rules).ravel() for a in (same, adapter)]
    assert np.corrcoef(*both)[0, 1] > 0.999  # sums in another order end in other digits
    assert adapter.select(pairs, rules, 3).identity == known.identity
    with pytest.raises(ValueError, match="40 rules; allowed: the same 2"):
        rk.training.train_rule_text_adapter(pairs, new, known)
