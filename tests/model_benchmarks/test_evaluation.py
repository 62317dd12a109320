"""Models on items: scores are the model's own, runs go on, judges compare in both orders."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import expit
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import rulekit as rk
from rulekit import benchmarks
from rulekit.benchmarks.contract import Scored
from rulekit.judges.contract import Judge, Rating, wanted_cells

RULES = rk.RuleSet.from_texts(["It is kind.", "It is short."])


class Counting:
    """Scores a response by its number of letters e, and counts what it is asked."""

    identity, pairwise, part = "letters", False, 4

    def __init__(self, most=None):
        self.asked, self.most = [], most

    def read(self, questions):
        if self.most is not None and len(self.asked) >= self.most:
            raise KeyboardInterrupt
        self.asked += questions
        return Scored.untold([r[0].count("e") for _, r in questions])

    def facts(self):
        return {"model": "letters"}


class Longer(Judge):
    """Yes where the first response is the longer one, and a liking for the first place."""

    pairwise = True

    def __init__(self, liking=0.0):
        self.liking, self.identity = liking, f"longer {liking}"

    def rate(self, prompts, responses, rules, mask=None):
        wanted = wanted_cells(prompts, responses, rules, mask, pairwise=True)
        rating = Rating.blank(*wanted.shape)
        for i, (a, b) in enumerate(responses):
            yes = expit(len(a) - len(b) + self.liking)
            rating.probabilities[i] = (1 - yes, 0, yes)
        return rating


class Short(Judge):
    """Rates a response alone: under every rule the shorter the better."""

    identity = "short"

    def rate(self, prompts, responses, rules, mask=None):
        wanted = wanted_cells(prompts, responses, rules, mask)
        yes = np.array([1 / (1 + len(r)) for r in responses])
        return Rating(
            np.broadcast_to(np.stack([1 - yes, 0 * yes, yes], axis=-1)[:, None], (*wanted.shape, 3))
        )


def test_scores_are_those_of_the_plain_model_on_each_conversation(rewards, pairs_file):
    result = benchmarks.evaluate_file(rewards[0], pairs_file)
    model = AutoModelForSequenceClassification.from_pretrained(rewards[0])
    tokenizer = AutoTokenizer.from_pretrained(rewards[0])
    for prompt, responses, scores in result.items.select(
        "prompt", "responses", "scores"
    ).iter_rows():
        for response, score in zip(responses, scores, strict=True):
            text = tokenizer.apply_chat_template(
                [*prompt, {"role": "assistant", "content": response}], tokenize=False
            )
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
            with torch.no_grad():
                assert score == pytest.approx(model(ids).logits.item(), abs=1e-5)
    assert result.facts["attention"].startswith("segments")
    assert result.as_dict()["items_truncated"] == 0


def test_a_reward_model_of_the_kit_is_read_as_in_training(rewards, pairs_file):
    result = benchmarks.evaluate_file(rk.RewardModel(rewards[0]), pairs_file)
    items = benchmarks.read_items("file", pairs_file)
    pairs = pl.DataFrame(
        {
            "pair_id": items["item"],
            "prompt": items["prompt"],
            "response_a": [r[0] for r in items["responses"].to_list()],
            "response_b": [r[1] for r in items["responses"].to_list()],
            "preference": [1] * len(items),
        }
    )
    both = rk.RewardModel(rewards[0]).rewards(pairs)
    assert np.array(result.items["scores"].to_list()) == pytest.approx(both, abs=1e-5)


def test_each_different_response_is_scored_once(pairs_file):
    rows = [json.loads(line) for line in pairs_file.read_text().splitlines()]
    again = rows + [row | {"id": f"again {row['id']}"} for row in rows]
    pairs_file.write_text("".join(json.dumps(r) + "\n" for r in again))
    scorer = Counting()
    result = benchmarks.evaluate_file(scorer, pairs_file)
    asked = {(json.dumps(p), r) for p, r in scorer.asked}
    assert len(asked) == len(scorer.asked) < 4 * len(rows)
    assert result.items["scores"].to_list()[:12] == result.items["scores"].to_list()[12:]


def test_an_interrupted_run_goes_on_where_it_stopped(pairs_file, tmp_path):
    whole = Counting()
    expected = benchmarks.evaluate_file(whole, pairs_file)
    with pytest.raises(KeyboardInterrupt):
        benchmarks.evaluate_file(Counting(most=8), pairs_file, output=tmp_path / "out")
    rest = Counting()
    result = benchmarks.evaluate_file(rest, pairs_file, output=tmp_path / "out")
    assert len(rest.asked) == len(whole.asked) - 8
    assert result.facts["found"] == 8
    assert result.items["scores"].equals(expected.items["scores"])
    other = Counting()
    other.identity = "others"
    benchmarks.evaluate_file(other, pairs_file, output=tmp_path / "out")
    assert len(other.asked) == len(whole.asked)  # scores of one model are not another's


def test_a_result_is_read_back_with_its_sections(pairs_file, tmp_path):
    result = benchmarks.evaluate_file(Counting(), pairs_file, output=tmp_path / "out")
    back = benchmarks.Evaluation.read(tmp_path / "out")
    assert back.card.sections.equals(result.card.sections)
    assert back.items.equals(result.items)
    told = json.loads((tmp_path / "out/result.json").read_text())
    assert told["score"] == result.card.score
    assert len(told["sections"]) == 2


def test_a_judge_alone_gives_the_sum_over_rules(pairs_file):
    result = benchmarks.evaluate_file(Short(), pairs_file, rules=RULES)
    text = result.items["responses"][0][0]
    assert result.items["scores"][0][0] == pytest.approx(2 * (2 / (1 + len(text)) - 1), abs=1e-5)


def test_weights_of_rules_count(pairs_file):
    estimates = rk.Estimates(np.array([1.0, 0.0]), np.eye(2), 0, "given")
    how = {"rules": RULES, "method": "weighted", "estimates": estimates}
    plain = benchmarks.evaluate_file(Short(), pairs_file, rules=RULES)
    found = benchmarks.evaluate_file(Short(), pairs_file, **how)
    assert found.items["scores"][0][0] == pytest.approx(plain.items["scores"][0][0], abs=1e-5)
    root = rk.Estimates(np.array([1.0, 0.0]), np.eye(2), 0, "given", power=0.5)
    with pytest.raises(ValueError, match=r"estimates are of power 0\.5"):
        benchmarks.scorer(Short(), rules=RULES, method="weighted", estimates=root)


def test_a_judge_that_compares_is_asked_in_both_orders(pairs_file):
    fair = benchmarks.evaluate_file(Longer(), pairs_file, rules=RULES)
    right, wrong = (fair.items["responses"].list.get(i).str.len_chars() for i in (0, 1))
    assert fair.items["won"].to_list() == (right > wrong).cast(float).to_list()
    first = benchmarks.evaluate_file(Longer(liking=1000.0), pairs_file, rules=RULES)
    assert first.items["margin"].to_list() == [0.0] * 12  # its signs cancel: a tie is no win
    assert first.items["won"].sum() == 0
    assert first.card.sections["half"].to_list() == [0.5, 0.5]
    last = benchmarks.evaluate_file(Longer(liking=-1000.0), pairs_file, rules=RULES)
    shares = {}
    for name, found in (("fair", fair), ("first", first), ("last", last)):
        rows = {r["trait"]: r["prefers"] for r in benchmarks.biases(found).iter_rows(named=True)}
        shares[name] = (rows["position"], rows["order"])
        said = benchmarks.bias_findings(benchmarks.biases(found))
        assert f"first shown is preferred in {rows['position']:.1%}" in said
    assert shares == {"fair": (0.5, 0.0), "first": (1.0, 1.0), "last": (0.0, 1.0)}


def test_a_judge_that_compares_ranks_several_right_responses(tmp_path):
    row = {"id": "1", "prompt": "q", "chosen": ["aaaa", "aaa"], "rejected": ["a", "aa"]}
    (tmp_path / "x.json").write_text(json.dumps([row]))
    found = benchmarks.evaluate_file(Longer(), tmp_path / "x.json", rules=RULES)
    assert found.items["scores"][0].to_list() == [6, 2, -6, -2]
    assert found.card.score == 1


@pytest.mark.parametrize("benchmark", ["rm-bench", "rmb"])
def test_real_layouts_from_end_to_end(real_data, benchmark):
    result = benchmarks.evaluate(benchmark, Counting(), most=9)
    assert set(result.items["subset"]) <= {
        "chat",
        "bon/helpfulness/chat/discussion",
        "pairwise/helpfulness/chat/discussion",
    }
    names = result.card.sections["section"].to_list()
    assert names == (
        ["chat", "hard", "normal", "easy"]
        if benchmark == "rm-bench"
        else ["bon/helpfulness", "pairwise/helpfulness"]
    )


@pytest.mark.parametrize(
    ("model", "settings", "told"),
    [
        (object(), {}, "scores nothing; allowed: a folder or hub name"),
        (Short(), {}, "a judge needs rules"),
        ("http://127.0.0.1:9/v1/chat/completions", {}, "route 'completions'; allowed: a URL"),
        (Counting(), {"batch": 3}, "batch is a setting of a model's folder"),
    ],
)
def test_what_scores_nothing_is_refused(pairs_file, model, settings, told):
    with pytest.raises(ValueError, match=told):
        benchmarks.evaluate_file(model, pairs_file, **settings)
