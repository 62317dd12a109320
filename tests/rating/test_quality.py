"""A judge against labelled responses, and files of labels."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.cli import main
from rulekit.inputs.labelled_responses import read_labelled
from rulekit.inputs.sources import Labelled
from rulekit.measures import calibration_error, cohen_kappa
from rulekit.rating import quality
from tests.rating.helpers import RULES, HashJudge, dialogues


def calibrated(n: int = 240, rules: int = 3, seed: int = 0) -> tuple[np.ndarray, Labelled]:
    """Probabilities of a calibrated judge and labels drawn from them, four responses a prompt."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([0.7, 0.7, 0.7], (n, rules))
    draw = rng.random((n, rules, 1))
    truth = (draw > p.cumsum(axis=2)).sum(axis=2) - 1
    names = [f"r{i // 4}" for i in range(n)], [str(i) for i in range(n)]
    return p, Labelled(*names, rk.RuleSet.from_texts(["one", "two", "three"][:rules]), truth)


def test_quality_has_the_figures_of_independent_computations():
    p, data = calibrated()
    table = quality.judge_quality(p, data).filter(rule="all")
    row = {r["figure"]: r for r in table.iter_rows(named=True)}
    relevant = data.scores != 0
    from sklearn.metrics import roc_auc_score

    score = (p[..., 2] - p[..., 0])[relevant]
    assert row["satisfied_auc"]["value"] == pytest.approx(
        roc_auc_score(data.scores[relevant] > 0, score)
    )
    assert row["kappa"]["value"] == pytest.approx(cohen_kappa(p.argmax(2) - 1, data.scores))
    assert row["relevant_calibration"]["value"] == pytest.approx(
        calibration_error(1 - p[..., 1].ravel(), relevant.ravel())
    )
    assert row["abstention"]["value"] == pytest.approx((p.argmax(2) == 1)[relevant].mean())
    for r in row.values():
        assert r["low"] <= r["value"] <= r["high"]
    # Calibrated by construction: the error is what chance leaves.
    assert row["relevant_calibration"]["value"] < 2.5 * row["relevant_calibration"]["reference"]


def test_a_perfect_judge_is_perfect_and_a_rule_without_cases_has_no_figure():
    _, data = calibrated()
    scores = data.scores.copy()
    scores[:, 2] = 0
    data = Labelled(data.prompts, data.responses, data.rules, scores)
    table = quality.judge_quality(np.eye(3)[scores + 1], data)
    value = {(r["rule"], r["figure"]): r["value"] for r in table.iter_rows(named=True)}
    assert value["all", "satisfied_auc"] == value["all", "kappa"] == 1
    assert value["all", "abstention"] == value["all", "satisfied_calibration"] == 0
    assert value["r002", "satisfied_auc"] is value["r002", "kappa"] is None
    assert len(quality.by_rule(table)) == 4


def test_the_interval_of_an_auc_covers_it_with_few_cases_and_keeps_width_at_one():
    rng = np.random.default_rng(0)
    truth = 0.9213503964748574  # Φ(2 / √2): two normals two standard deviations apart
    covered = 0
    for _ in range(400):
        above, below = rng.normal(2, 1, 8), rng.normal(0, 1, 12)
        value = (above[:, None] > below).mean()
        low, high = quality.newcombe(value, 8, 12)
        covered += low <= truth <= high
    assert covered / 400 > 0.92
    low, high = quality.newcombe(1.0, 2, 2)
    assert high == 1
    assert 0.1 < low < 0.6
    assert quality.newcombe(0.0, 2, 2) == pytest.approx((0, 1 - low))


def test_named_labelled_data_keep_their_dialogues():
    data = read_labelled("embedded", "validation")
    assert {len(p) for p in data.prompts} == {1, 3}


def test_a_file_of_labels_is_a_check_and_cells_without_one_are_skipped(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    RULES.save("rules.yaml")
    rows = [
        {"prompt": f"question {i % 12}", "response": f"answer {i}", "rule": rule, "label": label}
        for i in range(24)
        for rule, label in (
            ("r000", ("yes", "no", "irrelevant")[i % 3]),
            (RULES.texts[1], (1, -1)[i % 2]),
        )
        if i != 5 or rule == "r000"
    ]
    rows[0]["prompt"] = rows[1]["prompt"] = dialogues()["prompt"].to_list()[0]
    Path("labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = read_labelled("labels.jsonl", rules="rules.yaml")
    assert data.rules.ids == ["r000", "r001"]
    assert data.scores.shape == (24, 2)
    assert np.isnan(data.scores).sum() == 1
    assert len(data.prompts[0]) == 3
    judge = HashJudge()
    p = quality.rate_labelled(data, judge, store="s")
    assert len(judge.asked) == 47
    table = quality.judge_quality(p, data)
    assert table.filter(rule="all", figure="kappa")["n"].item() == 47
    assert main(["annotate", "labels.jsonl", "--check", "--rules", "rules.yaml"]) == 0
    assert "satisfied_auc" in capsys.readouterr().out
    pl.DataFrame(rows[2:]).with_columns(pl.col("label").cast(pl.String)).write_csv("labels.csv")
    assert read_labelled("labels.csv", rules="rules.yaml").scores.shape == (23, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "perhaps"}, r"line 2: label is 'perhaps'; allowed: \+1, 0, -1, yes"),
        ({"rule": "r999"}, r"line 2: no rule 'r999'; allowed: an id of the rule set such as"),
        ({"response": ""}, "line 2: column 'response' is missing or empty; allowed: prompt,"),
        ({"prompt": 3}, "line 2: prompt is 3; allowed: a text, or messages"),
        ({}, "line 2: rule 'r000' has another label for this response already"),
    ],
)
def test_a_wrong_row_of_labels_is_named(tmp_path, change, message):
    rules = RULES.save(tmp_path / "rules.yaml")
    rows = [{"prompt": "p", "response": "r", "rule": "r000", "label": 1}]
    rows.append(rows[0] | {"label": 0} | change)
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=message):
        read_labelled(path, rules=rules)
