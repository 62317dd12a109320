"""The encoder judge: shipped weights, its making, calibration, its networks, distillation."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import rulekit as rk
from rulekit.encoder import Encoder
from rulekit.judges import networks
from rulekit.judges.encoder import EncoderJudge
from rulekit.training import encoder_judge


@pytest.mark.slow
def test_the_judge_is_made_from_train_validation_and_readings_alone(real_data, monkeypatch):
    asked, real = [], rk.sources.load_labelled

    def watched(name, split=None):
        asked.append((name, split))
        return real(name, split)

    monkeypatch.setattr(encoder_judge, "load_labelled", watched)
    again, shipped = encoder_judge.kit_encoder_judge(), EncoderJudge.load()
    own = {("embedded", "train"), ("embedded", "validation")}
    assert set(asked) == own | {("hh-read", None), ("xstest-read", None)}
    assert again.provenance["data_sha256"] == shipped.provenance["data_sha256"]
    some = real("embedded", "test")
    asked = some.prompts[:8], some.responses[:8], some.rules
    found, expected = (j.rate(*asked).probabilities for j in (again, shipped))
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_the_shipped_judge_was_trained_on_the_data_that_the_kit_has():
    found = EncoderJudge.load().provenance
    assert found["data_sha256"] == encoder_judge.training_data_hash()
    assert found["data"] == "embedded, train split; hh-read; xstest-read"


def test_a_judge_is_the_same_after_saving_and_another_one_with_another_calibration(tmp_path):
    judge = EncoderJudge.load()
    back = EncoderJudge.load(judge.save(tmp_path / "judge.safetensors"))
    assert back.identity == judge.identity
    assert dict(back.provenance) == dict(judge.provenance) | {"encoder": Encoder.load().digest}
    some = rk.sources.load_labelled("embedded", "test")
    asked = some.prompts[:2], some.responses[:2], some.rules
    assert np.array_equal(back.rate(*asked).probabilities, judge.rate(*asked).probabilities)
    assert replace(judge, relevant=(1.0, 0.0)).identity != judge.identity
    assert replace(judge, satisfied=(1.0, 0.0)).identity != judge.identity


def test_a_judge_trained_over_another_encoder_is_refused(tmp_path):
    path = EncoderJudge.load().save(tmp_path / "mine.safetensors")
    with safe_open(path, "np") as file:
        told = file.metadata() | {"encoder": "0" * 64}
    save_file(load_file(path), path, told)
    digest = Encoder.load().digest[:12]
    with pytest.raises(ValueError, match=r"mine\.safetensors was trained over an encoder") as error:
        EncoderJudge.load(path)
    assert f"sha256 000000000000…, in use is {digest}…; allowed: the same" in str(error.value)


def test_a_file_that_holds_no_judge_is_refused(tmp_path):
    save_file({"weight": np.ones(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors: no encoder judge; allowed"):
        EncoderJudge.load(tmp_path / "other.safetensors")


def test_cells_without_a_label_change_no_calibration():
    judge, data = EncoderJudge.load(), rk.sources.load_labelled("embedded", "validation")
    some = replace(
        data, prompts=data.prompts[:12], responses=data.responses[:12], scores=data.scores[:12]
    )
    gaps = some.scores.copy()
    gaps[6:] = np.nan
    half = replace(
        data, prompts=data.prompts[:6], responses=data.responses[:6], scores=data.scores[:6]
    )
    found = encoder_judge.calibrated(replace(some, scores=gaps), judge)
    expected = encoder_judge.calibrated(half, judge)
    assert found.relevant == pytest.approx(expected.relevant, rel=1e-3)
    assert found.satisfied == pytest.approx(expected.satisfied, rel=1e-3)


@pytest.mark.parametrize("network", ["cross", "joint"])
def test_a_rating_in_a_pass_of_its_own_does_not_depend_on_what_else_is_rated(network):
    torch.manual_seed(0)
    model = networks.NETWORKS[network]().eval()
    prompts, responses = ["A train?", "A cat?"], ["Thank you for asking.", "No. " * 30]
    rules = ["It is kind.", "It is long and says the same thing again."]
    together = networks.network_logits(model, prompts, responses, rules)
    for i in range(2):
        for j in range(2):
            alone = networks.network_logits(
                model, prompts[i : i + 1], responses[i : i + 1], rules[j : j + 1]
            )
            torch.testing.assert_close(together[i, j], alone[0, 0], atol=1e-5, rtol=1e-4)


def test_encoder_judge_rates_new_rules_and_knows_relevant_rules_on_unseen_prompts():
    train, test = (rk.sources.load_labelled("embedded", s) for s in ("train", "test"))
    judge = rk.judges.judge("encoder")
    report = rk.studies.judge_report(test, judge, train)
    assert report["relevant_auc_low"] > report["floor_relevant_auc"]
    assert report["satisfied_auc_low"] > 0.55
    assert report["log_loss"] < report["floor_log_loss"]
    assert report["relevant_calibration_error"] < 0.03
    pairs = rk.sources.load("embedded")
    found = rk.judges.score(pairs[:4], rk.RuleSet.from_texts(["It names a doctor."]), judge)
    assert found.a.shape == (4, 1)


def test_what_the_network_does_not_read_is_counted_and_a_longer_rule_is_refused():
    judge, rules = rk.judge("encoder"), rk.RuleSet.from_texts(["It names a doctor."])
    tokenizer = Encoder.load().tokenizer
    long = "It is a long story about a doctor. " * 40
    whole = len(tokenizer(long)["input_ids"])
    assert whole > 300
    prompts, responses = ["Who?", long, "Who?", long], ["Me.", "Me.", long, long]
    rating = judge.rate(prompts, responses, rules)
    assert (rating.usage.truncated, rating.usage.tokens_cut) == (3, 4 * (whole - 256))
    masked = judge.rate(prompts, responses, rules, np.eye(4, 1, dtype=bool))
    assert masked.usage.truncated == 0
    with pytest.raises(
        ValueError, match=rf"rule 'r000' has {whole - 2} tokens; allowed: up to 254"
    ):
        judge.rate(["Who?"], ["Me."], rk.RuleSet.from_texts([long]))


def test_letters_that_the_tokenizer_takes_apart_are_counted_as_it_counts():
    text = "한국어 " * 60
    over = len(Encoder.load().tokenizer(text)["input_ids"]) - 256
    assert over > 0 > len(text) - 254
    assert networks.tokens_over([text, "a"], 254) == [over, 0]
    assert networks.tokens_over([text], None) == [0]


def test_a_network_counts_what_it_reads_itself():
    model = networks.NETWORKS["joint"]().eval()
    judge = EncoderJudge(model)
    rating = judge.rate(["word " * 70], ["word " * 170], rk.RuleSet.from_texts(["It is."]))
    assert (rating.usage.truncated, rating.usage.tokens_cut) == (1, 6 + 10)
    alone = EncoderJudge(networks.NETWORKS["cross"]().eval())
    rating = alone.rate(["word " * 70], ["Short."], rk.RuleSet.from_texts(["It is."]))
    assert rating.usage.tokens_cut == 0


def test_an_empty_response_fails_alone():
    rules = rk.RuleSet.from_texts(["It names a doctor.", "It is kind."])
    rating = rk.judge("encoder").rate(["Who?"] * 2, ["Me.", " \n"], rules)
    assert rating.rated.tolist() == [[True, True], [False, False]]
    assert rating.failures[1, 0] == "the prompt or the response is empty"


def test_calibration_repairs_probabilities_that_are_too_sharp():
    validation, test = (rk.sources.load_labelled("embedded", s) for s in ("validation", "test"))
    judge = rk.judges.judge("encoder")
    sharp = EncoderJudge(judge.model, (5 * judge.relevant[0], 0.0), (5 * judge.satisfied[0], 1.0))
    mended = encoder_judge.calibrated(validation, sharp)
    assert mended.relevant == pytest.approx(judge.relevant, rel=0.01)
    assert mended.satisfied == pytest.approx(judge.satisfied, rel=0.01)

    def loss(j):
        p = j.rate(test.prompts, test.responses, test.rules).probabilities
        told = np.take_along_axis(p, test.scores.astype(int)[..., None] + 1, -1)
        return -np.log(np.maximum(told, 1e-30)).mean()

    assert loss(mended) < loss(sharp)


@pytest.mark.parametrize(
    ("network", "epochs"),
    [
        ("frozen", 6),
        ("sentences", 6),
        pytest.param("cross", 3, marks=pytest.mark.slow),  # all of the encoder is trained
        pytest.param("joint", 3, marks=pytest.mark.slow),
    ],
)
def test_every_design_learns_a_planted_rule_and_repeats_with_its_seed(network, epochs):
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
    model = encoder_judge.fit_network(*train, rules, scores[seen], network, epochs=epochs)
    again = encoder_judge.fit_network(*train, rules, scores[seen], network, epochs=epochs)
    p = networks.network_logits(model, *texts, rules).softmax(-1).numpy()
    assert np.array_equal(p, networks.network_logits(again, *texts, rules).softmax(-1).numpy())
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
    found = rk.judges.score(pairs[12:], rules, judge).discrepancy
    swapped = pairs.rename({"response_a": "response_b", "response_b": "response_a"})
    assert (found > 0.5).all()
    turned = rk.judges.score(swapped[12:], rules, judge).discrepancy
    assert turned == pytest.approx(-found, abs=1e-5)
