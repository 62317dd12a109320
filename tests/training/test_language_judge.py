"""A language model that learns to rate: the shared pass against one by one, resume, the saved folder."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import rulekit as rk
from rulekit.cli import main
from rulekit.judges.prompts import TEMPLATES
from rulekit.training import language_judge_data as recorded
from rulekit.training.batches import Pass
from rulekit.training.language_judge import load_causal
from rulekit.training.language_judge_config import BRIEF, load_judge_config
from rulekit.training.language_judge_losses import answer_losses, rating_measures
from rulekit.training.tree_passes import NAME, lay_out
from tests.judges.local_models import MODELS, build, random_trees
from tests.training.helpers import assert_bit_equal, forget_after

RULES = ["It thanks the user.", "It is short.", "It names a danger.", "It is rude to them."]


def some_ratings(n: int = 6, seed: int = 0) -> rk.training.Ratings:
    rng = np.random.default_rng(seed)
    scores = rng.choice([-1, -0.5, 0, 0.5, 1], size=(n, len(RULES)))
    prompts, responses = ([f"{word} {i} " * (1 + i) for i in range(n)] for word in ("Why", "Ok"))
    rules = rk.RuleSet.from_texts(RULES)
    return rk.training.Ratings(prompts, responses, rules, rk.training.soft_targets(scores))


def compared(n: int = 4) -> rk.training.Ratings:
    rng = np.random.default_rng(1)
    delta = rng.uniform(-1, 1, size=(n, len(RULES))).astype(np.float32)
    delta[0, 1] = np.nan
    sides = [(f"Thanks {i}.", f"No, {i} is wrong.") for i in range(n)]
    rules = rk.RuleSet.from_texts(RULES)
    return rk.training.Ratings([f"Why {i}?" for i in range(n)], sides, rules, delta)


@pytest.fixture
def settings(tiny_judge):
    return {
        "model": str(tiny_judge),
        "conversations_per_step": 2,
        "rules_at_once": 3,
        "irrelevant": None,
        "learning_rate": 1e-3,
        "token_budget": 1024,
        "seed": 3,
    }


@pytest.mark.parametrize("name", MODELS)
def test_a_row_of_trees_has_the_logits_and_gradients_of_sequences_one_by_one(name):
    """Grouped heads, soft caps, windows shorter than the prefix, experts, narrower values."""
    model, trees = build(name), random_trees(2, 4)
    loss, found = {}, {}
    for way in ("packed", "alone"):
        model.zero_grad()
        if way == "packed":
            model.set_attn_implementation(NAME)
            logits = model(**lay_out(trees).inputs()).logits[0]
        else:
            model.set_attn_implementation("eager")
            whole = [t.prefix + s for t in trees for s in t.suffixes]
            logits = torch.stack([model(torch.tensor([w])).logits[0, -1] for w in whole])
        loss[way] = logits.float().logsumexp(-1).sum() + logits[:, 3].sum()
        loss[way].backward()
        found[way] = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    torch.testing.assert_close(loss["packed"], loss["alone"], rtol=1e-5, atol=1e-4)
    assert found["packed"].keys() == found["alone"].keys()
    for key, gradient in found["alone"].items():
        scale = float(gradient.abs().max()) + 1e-6
        torch.testing.assert_close(found["packed"][key], gradient, rtol=1e-3, atol=1e-4 * scale)


def plain_loss(judge, ratings, model):
    """The loss of every rating by itself, of the words that `rulekit.judges.prompts` gives."""
    tokenizer, words = judge.tokenizer, judge.template

    def logs(prompt, response, rule):
        asked = words.messages(prompt, response, rule)
        text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        p = model(ids).logits[0, -1].double().softmax(-1)
        return torch.stack([p[judge.spellings[a]].sum().log() for a in ("no", "irrelevant", "yes")])

    total, given = [], ratings.target
    for i, prompt in enumerate(ratings.prompts):
        each = []
        for j, rule in enumerate(ratings.rules.texts):
            if ratings.compares:
                if not np.isnan(given[i, j]):
                    a, b = (logs(prompt, side, rule) for side in ratings.responses[i])
                    share = torch.sigmoid((a[2] - a[0]) - (b[2] - b[0]))
                    t = float(1 + given[i, j]) / 2
                    each.append(-t * share.log() - (1 - t) * (1 - share).log())
            else:
                target = torch.from_numpy(given[i, j])
                each.append(-(target * logs(prompt, ratings.responses[i], rule)).sum())
        total.append(torch.stack(each).mean())
    return torch.stack(total).mean()


@pytest.mark.parametrize("template", [*(t for t in TEMPLATES if "rule_first" not in t), BRIEF])
@pytest.mark.parametrize("kind", [some_ratings, compared])
def test_loss_and_gradient_are_those_of_ratings_asked_one_by_one(kind, template, settings):
    config = load_judge_config(settings | {"rules_at_once": 9, "template": template})
    ratings = kind()
    model, judge = load_causal(config)
    examples = recorded.judge_examples([ratings], judge, rules_at_once=9, irrelevant=None, seed=0)
    n = len(examples)
    batch = examples[Pass(np.arange(n), np.full(n, 1 / n))]
    gradients = []
    for packed in (True, False):
        model.zero_grad()
        model.set_attn_implementation(NAME if packed else "eager")
        if packed:
            logits = model(**batch["row"].inputs()).logits[0]
            loss = answer_losses(logits.float(), batch["targets"], judge.spellings)[0].mean()
            first = loss
        else:
            loss = plain_loss(judge, ratings, model)
        loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    torch.testing.assert_close(first.double(), loss.double(), rtol=1e-5, atol=1e-5)
    for name, gradient in gradients[1].items():
        scale = float(gradient.abs().max()) + 1e-7
        torch.testing.assert_close(gradients[0][name], gradient, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize(
    "fields",
    [{}, {"lora": {"rank": 4}, "precision": "bf16-stochastic", "trained_layers": 1}],
    ids=["full", "low-rank"],
)
def test_a_resumed_run_ends_in_the_same_bits(fields, settings, tmp_path):
    settings |= fields | {"save_every": 2, "keep_checkpoints": 9, "epochs": 2}
    whole = rk.training.train_language_judge(settings, some_ratings(), output=tmp_path / "whole")
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").open()]
    again = tmp_path / "again"
    shutil.copytree(tmp_path / "whole", again)
    forget_after(again, 4)
    resumed = rk.training.train_language_judge(settings, some_ratings(), output=again)
    assert_bit_equal(resumed.model_folder, whole.model_folder)
    found = [json.loads(line) for line in (again / "metrics.jsonl").open()]
    assert [r.get("loss") for r in found] == [r.get("loss") for r in rows]
    assert {"satisfied_auc", "ratings"} <= rows[0].keys()


@pytest.mark.parametrize("lora", [None, {"rank": 4}], ids=["full", "low-rank"])
def test_the_saved_folder_rates_as_the_model_in_memory_in_the_words_it_learned(
    lora, settings, tmp_path
):
    kept = []
    settings |= {"template": BRIEF, "lora": lora, "learning_rate": 1e-2}
    run = rk.training.train_language_judge(
        settings, some_ratings(), output=tmp_path, evaluation=some_ratings(2, seed=5)
    )
    judge = rk.judge("local", model=str(run.model_folder))
    assert judge.template.name == "brief"
    assert rk.judge("local", model=str(run.model_folder), template="rule_first").template.name == (
        "rule_first"
    )
    held = some_ratings(2, seed=5)
    examples = recorded.judge_examples([held], judge, rules_at_once=3, irrelevant=None, seed=3)
    plain = AutoModelForCausalLM.from_pretrained(run.model_folder)
    plain.set_attn_implementation(NAME)
    for part in range(len(examples)):
        batch = examples[Pass(np.array([part]), np.ones(1))]
        with torch.no_grad():
            logits = plain(**batch["row"].inputs()).logits[0]
        kept.append(answer_losses(logits.float(), batch["targets"], judge.spellings)[0])
    assert float(torch.cat(kept).mean()) == pytest.approx(run.metrics["loss"], rel=1e-4)
    p = judge.rate(held.prompts, held.responses, held.rules).complete()
    cells = (-(held.target * np.log(p)).sum(-1)).mean()
    assert cells <= run.metrics["loss"] + 1e-3, "the answers' own mass can only add to the loss"


def test_a_rule_that_was_learned_is_kept_on_new_texts(tiny_judge, tmp_path):
    topics = ["train", "garden", "printer", "recipe", "loan", "cat", "roof", "bus"]
    rules = rk.RuleSet.from_texts(["It thanks the user."])
    texts = [f"Thank you, the {t} is fine." for t in topics] + [f"You fool, a {t}!" for t in topics]
    scores = np.repeat([1.0, -1.0], 8)[:, None]
    seen, new = ([i for i in range(16) if (i % 8 < 6) == old] for old in (True, False))
    ratings = rk.training.Ratings(topics * 2, texts, rules, rk.training.soft_targets(scores))
    settings = {"model": str(tiny_judge), "learning_rate": 1e-3, "template": BRIEF, "epochs": 8}
    run = rk.training.train_language_judge(
        settings, ratings.take(seen), output=tmp_path, conversations_per_step=4
    )
    judge = rk.judge("local", model=str(run.model_folder))
    some = ratings.take(new)
    p = judge.rate(some.prompts, some.responses, rules).complete()
    assert np.array_equal(np.sign(p[..., 2] - p[..., 0]), scores[new])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"template": "rule_first"}, "begins with the rule; allowed: one in which"),
        ({"trained_layers": 3}, "trained_layers is 3; allowed: 1 to 2"),
        ({"token_budget": 64}, "token_budget is 64; allowed: at least"),
        ({"left_out": 4}, "left_out is 4; allowed: below 4"),
        ({"lora": {"quantize": True}}, "allowed: neither in a judge's training"),
        ({"sheduler": "cosine"}, "sheduler: no such setting; allowed: model, revision"),
        ({"warmup": 1.5}, "warmup is 1.5; allowed"),
        ({"model": "/no/such/folder"}, "no folder|no such folder|could not be read"),
    ],
)
def test_settings_that_do_not_go_are_refused(fields, said, settings, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        rk.training.train_language_judge(settings | fields, some_ratings(), output=tmp_path)
    assert not (tmp_path / "model").exists()


def test_ratings_that_do_not_fit_are_refused():
    one = some_ratings()
    for target, said in (
        (one.target[:3], "ratings: target"),
        (one.target + 1, "beyond 0 to 1"),
        (np.full_like(one.target, np.nan), "none of them is given"),
    ):
        with pytest.raises(ValueError, match=said):
            rk.training.Ratings(one.prompts, one.responses, one.rules, target)
    with pytest.raises(
        ValueError, match="unknown ratings 'rbr'; allowed: embedded, embedded:train"
    ):
        recorded.load_recorded("rbr")
    with pytest.raises(ValueError, match="every prompt to train on is one to measure on"):
        recorded.without_prompts(one, [one])


def test_a_folder_of_another_run_is_refused_and_a_finished_one_returned(settings, tmp_path):
    settings |= {"max_steps": 1}
    run = rk.training.train_language_judge(settings, some_ratings(), output=tmp_path)
    before = (run.model_folder / "model.safetensors").stat().st_mtime_ns
    rk.training.train_language_judge(settings, some_ratings(), output=tmp_path)
    assert (run.model_folder / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="holds a run with another learning_rate"):
        rk.training.train_language_judge(
            settings, some_ratings(), output=tmp_path, learning_rate=1e-4
        )


def test_irrelevant_ratings_are_drawn_in_proportion_and_rules_left_out_are_not_learned(settings):
    scores = np.zeros((5, 40), np.float32)
    scores[:, :6] = 1
    rules = rk.RuleSet.from_texts([f"It names the number {i}." for i in range(40)])
    ratings = rk.training.Ratings(["Why?"] * 5, list("abcde"), rules, recorded.soft_targets(scores))
    _, judge = load_causal(load_judge_config(settings))
    made = recorded.judge_examples([ratings], judge, rules_at_once=5, irrelevant=0.5, seed=0)
    assert made.n_ratings == 5 * (6 + 3)
    assert max(map(len, made.target)) <= 5
    assert sum(t[:, 1].sum() for t in made.target) == 15
    out = recorded.left_out_rules(rules, 10, seed=0)
    assert len(set(out.tolist())) == 10
    assert np.array_equal(out, recorded.left_out_rules(rules, 10, seed=0))


def test_measures_are_those_of_answers_that_are_known():
    logs = np.log([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])
    target = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0.25, 0, 0.75]], np.float32)
    found = rating_measures(logs, [target])
    assert found["satisfied_auc"] == found["relevant_auc"] == 1
    pair = np.array([1.0, -1.0], np.float32)
    turned = rating_measures(logs[[0, 1, 1, 0]], [pair])
    assert turned["sign_auc"] == 1


def test_the_command_plans_trains_and_refuses(tiny_judge, tmp_path, capsys):
    words = ["train", "judge", "-p", "model", str(tiny_judge), "-p", "train", "embedded:validation"]
    words += ["-p", "evaluation", "[]", "-p", "max_steps", "1", "-p", "rules_at_once", "4"]
    words += ["-p", "max_tokens", "1800", "-p", "token_budget", "4096", "-p", "trained_layers", "1"]
    words += ["--output", str(tmp_path / "run")]
    assert main([*words, "--plan"]) == 0
    assert "one rating a pass would read" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert main(words) == 0
    assert "the judge is in" in capsys.readouterr().out
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert 'rulekit.judge("local", model=FOLDER)' in card
    assert main(["train", "judge", "--config", "paper-8b"]) == 2
    assert "unknown; allowed: smollm2-judge" in capsys.readouterr().err
