"""Encoder, judges, Rule Adapter and reward model on the real encoder; measures against foreign ones."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score, mutual_info_score, roc_auc_score

import rulekit as rk
from rulekit.encoder import Encoder
from rulekit.judges import networks
from rulekit.judges.encoder import EncoderJudge
from rulekit.training import RewardModelConfig, RuleAdapter, cross_fit_adapter, encoder_judge
from rulekit.training.reward_model import RewardModel


@pytest.fixture(scope="module")
def embedded():
    pairs = rk.sources.load("embedded")
    return pairs, *rk.sources.load_ratings("embedded")


def test_encoder_vectors_have_unit_length_and_do_not_depend_on_the_batch(monkeypatch, tmp_path):
    texts = ["A short text.", "Another, " * 40 + "longer one.", "A short text."]
    together = Encoder.load().embed(texts)
    monkeypatch.setenv("RULEKIT_CACHE", str(tmp_path))
    alone = Encoder.load().embed(texts[:1])
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert together[0] == pytest.approx(alone[0], abs=1e-5)
    assert (together[0] == together[2]).all()
    with pytest.raises(ValueError, match="text 0 is empty"):
        Encoder.load().embed([" "])


def test_recorded_judge_replays_in_any_order_and_refuses_the_unknown(embedded):
    pairs, rules, scores = embedded
    judge = rk.judges.get("recorded")
    some = rk.RuleSet(rules.rules[5:8])
    found = judge.score(pairs[[3, 1]], some)
    assert (found.a == scores.a[[3, 1], 5:8]).all()
    with pytest.raises(ValueError, match="pair 'x' has no recorded ratings"):
        judge.score(pairs[:1].with_columns(pair_id=pl.lit("x")), rules)
    with pytest.raises(ValueError, match="rule 'r000' has no recorded ratings"):
        judge.score(pairs[:1], rk.RuleSet.from_texts(["New."]))


def test_encoder_judge_rates_new_rules_and_knows_relevant_rules_on_unseen_prompts():
    train, test = (rk.sources.load_labelled("embedded", s) for s in ("train", "test"))
    judge = rk.judges.get("encoder")
    report = rk.studies.judge_report(judge, test, train)
    assert report["relevant_auc_low"] > report["floor_relevant_auc"]
    assert report["satisfied_auc_low"] > 0.55
    assert report["log_loss"] < report["floor_log_loss"]
    assert report["relevant_calibration_error"] < 0.03
    pairs = rk.sources.load("embedded")
    found = judge.score(pairs[:4], rk.RuleSet.from_texts(["It names a doctor."]))
    assert found.a.shape == (4, 1)


def test_calibration_repairs_probabilities_that_are_too_sharp():
    validation, test = (rk.sources.load_labelled("embedded", s) for s in ("validation", "test"))
    judge = rk.judges.get("encoder")
    sharp = EncoderJudge(judge.model, (5 * judge.relevant[0], 0.0), (5 * judge.satisfied[0], 1.0))
    mended = encoder_judge.calibrated(sharp, validation)
    assert mended.relevant == pytest.approx(judge.relevant, rel=0.01)
    assert mended.satisfied == pytest.approx(judge.satisfied, rel=0.01)

    def loss(j):
        p = j.rate(test.prompts, test.responses, test.rules)
        return -np.log(np.take_along_axis(p, test.scores.astype(int)[..., None] + 1, -1)).mean()

    assert loss(mended) < loss(sharp)


@pytest.mark.parametrize("network", sorted(networks.NETWORKS))
def test_every_design_learns_a_planted_rule_and_repeats_with_its_seed(network):
    """Responses that thank satisfy the rule of thanking; unseen topics are judged right."""
    topics = [
        "the train",
        "a garden",
        "my printer",
        "this recipe",
        "the loan",
        "a cat",
        "the roof",
        "a bus",
        "an exam",
        "the piano",
        "a visa",
        "the oven",
    ]
    rules = ["The response thanks the user.", "The response insults the user."]
    responses = [f"Thank you for asking about {t}, I am glad to help." for t in topics]
    responses += [f"You fool, stop bothering me about {t}." for t in topics]
    scores = np.array([[1, -1]] * 12 + [[-1, 1]] * 12)
    seen = [i for i in range(24) if i % 12 < 9]
    texts = [topics[i % 12] for i in range(24)], responses
    train = [[t[i] for i in seen] for t in texts]
    model = encoder_judge.fit(network, *train, rules, scores[seen], epochs=6)
    again = encoder_judge.fit(network, *train, rules, scores[seen], epochs=6)
    p = networks.logits(model, *texts, rules).softmax(-1).numpy()
    assert np.array_equal(p, networks.logits(again, *texts, rules).softmax(-1).numpy())
    unseen = [i for i in range(24) if i % 12 >= 9]
    assert (np.sign(p[unseen, :, 2] - p[unseen, :, 0]) == scores[unseen]).mean() > 0.9


def test_distilled_judge_learns_a_teachers_discrepancies_whichever_side_comes_first():
    topics = [f"topic {i}" for i in range(16)]
    pairs = pl.DataFrame(
        {
            "pair_id": topics,
            "prompt": topics,
            "response_a": [f"Thank you for asking about {t}, I am glad to help." for t in topics],
            "response_b": [f"You fool, stop bothering me about {t}." for t in topics],
        }
    )
    rules = rk.RuleSet.from_texts(["The response is kind to the user."])
    teacher = rk.Scores(np.ones((16, 1)), -np.ones((16, 1)))
    judge = encoder_judge.distil_encoder_judge(pairs[:12], rules, teacher.rows(np.arange(16) < 12))
    found = judge.score(pairs[12:], rules).discrepancy
    swapped = pairs.rename({"response_a": "response_b", "response_b": "response_a"})
    assert (found > 0.5).all()
    assert judge.score(swapped[12:], rules).discrepancy == pytest.approx(-found, abs=1e-5)


def test_reliability_bins_hold_every_case_and_a_perfect_forecast_has_no_error():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    outcome = rng.random(20_000) < probability
    frame = rk.measures.reliability(probability, outcome)
    assert (len(frame), frame["n"].sum()) == (10, 20_000)
    inside = (frame["low"] <= frame["predicted"]) & (frame["predicted"] <= frame["high"])
    assert inside.sum() >= 8
    assert rk.measures.calibration_error(probability, outcome) < 0.02
    assert rk.measures.calibration_error(probability**3, outcome) > 0.1
    with pytest.raises(ValueError, match="allowed"):
        rk.measures.reliability([0.5], [True, False])


def test_paired_difference_finds_a_planted_gain_and_no_gain_in_equal_margins():
    rng = np.random.default_rng(0)
    truth = rng.choice([-1, 1], 900)
    prompts = np.repeat(np.arange(300), 3)
    good = np.where(rng.random(900) < 0.8, truth, -truth)
    bad = np.where(rng.random(900) < 0.6, truth, -truth)
    gain = rk.measures.paired_difference(good, bad, truth, prompts)
    expected = (good == truth).mean() - (bad == truth).mean()
    assert gain.value == pytest.approx(expected)
    assert gain.low < 0.2 < gain.high
    assert (gain.p_value < 0.001, gain.n, gain.n_groups) == (True, 900, 300)
    none = rk.measures.paired_difference(good, good, truth, prompts)
    assert (none.value, none.p_value) == (0, 1)


@pytest.mark.real_data
def test_rbr_labels_are_read_under_our_rules_and_empty_completions_left_out(real_data):
    data = rk.sources.load_labelled("openai-rbr")
    assert data.scores.shape == (344, 23)
    assert set(np.unique(data.scores)) == {-1, 1}
    assert all(t.strip() for t in data.responses)
    with pytest.raises(ValueError, match="no pairs"):
        rk.sources.load("openai-rbr")
    with pytest.raises(ValueError, match="unknown split 'dev'; allowed: train"):
        rk.sources.load_labelled("embedded", "dev")


def test_adapter_beats_random_on_unseen_prompts_ignores_sides_and_survives_the_disk(
    embedded, tmp_path
):
    pairs, _, scores = embedded
    chosen = rk.select(scores, 5)
    figures, table = rk.studies.adapter_report(pairs, scores, cross_fit_adapter(pairs, chosen))
    assert figures["recall_at_k"] > 3 * figures["random_recall_at_k"]
    assert set(table["name"]) == {"oracle", "rule_adapter", "random"}
    adapter = rk.training.train_rule_adapter(pairs, chosen)
    swapped = pairs.rename({"response_a": "response_b", "response_b": "response_a"})
    assert adapter.probabilities(pairs) == pytest.approx(adapter.probabilities(swapped), abs=1e-5)
    back = RuleAdapter.load(adapter.save(tmp_path / "a.npz"))
    assert (back.select(pairs, 7).indices == adapter.select(pairs, 7).indices).all()
    assert back.select(pairs, 7).k == 7


def test_frozen_reward_model_learns_a_planted_reward():
    """Polite answers are preferred; unseen topics are judged right."""
    topics = [
        f"the {t}"
        for t in (
            "train",
            "garden",
            "printer",
            "recipe",
            "loan",
            "cat",
            "roof",
            "bus",
            "exam",
            "piano",
            "visa",
            "oven",
            "river",
            "novel",
            "salad",
            "bike",
        )
    ]
    rows = [
        {
            "pair_id": t,
            "prompt": t,
            "preference": 1,
            "response_a": f"Thank you for asking kindly about {t}, I am glad to help you.",
            "response_b": f"Stop bothering me with {t}, you fool.",
        }
        for t in topics
    ]
    pairs = pl.DataFrame(rows)
    model = rk.training.train_reward_model(pairs[:10], np.ones(10))
    assert (model.margin(pairs[10:]) > 0).all()


@pytest.mark.parametrize("layers", [0, 1])
def test_reward_model_survives_the_disk_and_takes_soft_and_missing_targets(
    embedded, tmp_path, layers
):
    pairs = embedded[0][:12]
    target = np.where(np.arange(12) % 3 == 0, np.nan, 0.8)
    settings = {"layers": layers, "epochs": 8, "learning_rate": 1e-3}
    model = rk.training.train_reward_model(pairs, target, **settings)
    back = RewardModel.load(model.save(tmp_path / "m.pt"))
    assert back.config == RewardModelConfig(**settings)
    assert back.margin(pairs) == pytest.approx(model.margin(pairs), abs=1e-6)
    assert model.margin(pairs)[1:3].mean() > 0


def test_reward_model_refuses_bad_targets_and_unknown_settings(embedded):
    pairs = embedded[0][:3]
    for target, message in (
        ([1, 0], "target has shape"),
        ([1, 2, 0], "outside of"),
        ([np.nan] * 3, "tie"),
    ):
        with pytest.raises(ValueError, match=message):
            rk.training.train_reward_model(pairs, target)
    with pytest.raises(ValueError, match="dropout"):
        rk.training.train_reward_model(pairs, [1, 0, 1], dropout=0.1)


def test_measures_equal_those_of_scikit_learn_and_scipy():
    from scipy.stats import binomtest

    rng = np.random.default_rng(0)
    x, y = rng.integers(3, size=500), rng.integers(2, size=500)
    nats = rk.information.mutual_information(x, y, "plugin", "nats")
    assert nats == pytest.approx(mutual_info_score(x, y), abs=1e-12)
    score, positive = rng.integers(9, size=500), y > 0
    assert rk.measures.auc(score, positive)[0] == pytest.approx(roc_auc_score(positive, score))
    interval = binomtest(37, 60).proportion_ci(method="wilson")
    assert rk.measures.wilson(37, 60) == pytest.approx((interval.low, interval.high))
    p, target = rng.random((50, 8)), rng.random((50, 8)) > 0.6
    named = np.argsort(np.argsort(-p, axis=1), axis=1) < 3
    found = rk.measures.adapter_metrics(p, target, 3)
    assert found["micro_f1"] == pytest.approx(f1_score(target, named, average="micro"))
    assert found["macro_f1"] == pytest.approx(f1_score(target, named, average="macro"))


def test_vote_information_and_redundancy_of_known_channels():
    y = np.array([1, -1] * 500)
    votes = np.stack([y, -y, np.repeat([1, -1], 500)], axis=1)
    assert rk.information.rule_mutual_information(votes, y, "plugin") == pytest.approx([1, 1, 0])
    assert rk.information.redundancy_matrix(votes) == pytest.approx(
        np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]), abs=1e-12
    )
    with pytest.raises(ValueError, match="row 1 is NaN"):
        rk.information.mutual_information([0.0, np.nan], [0, 1])


def test_accuracy_counts_ties_as_half_and_prompts_as_clusters():
    found = rk.measures.pairwise_accuracy([1, 0, -1, 5], [1, 1, 1, None], groups=list("aabc"))
    assert (found.value, found.n, found.ties) == (0.5, 3, 1)
    same = rk.measures.pairwise_accuracy([1] * 50 + [-1] * 50, [1] * 100, [0] * 50 + [1] * 50)
    assert same.cluster_high - same.cluster_low > same.high - same.low
