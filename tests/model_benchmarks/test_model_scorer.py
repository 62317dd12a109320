"""A model's scores do not depend on batch, padding or packing, and what is no reward model is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

from rulekit import benchmarks
from rulekit.benchmarks.model_scorer import ModelScorer, Reading
from tests.model_benchmarks.conftest import scale_head
from tests.training.helpers import SIZES, WORDS, make_model


def questions(n=12, seed=0, longest=30):
    rng = np.random.default_rng(seed)

    def text():
        return " ".join(rng.choice(WORDS, rng.integers(1, longest)))

    return [([{"role": "user", "content": text()}], (text(),)) for _ in range(n)]


@pytest.mark.parametrize("kind", ["llama", "bert", "mistral", "qwen3"])
def test_scores_are_the_same_however_they_are_read(rewards, tmp_path, kind):
    folder = rewards[0]
    if kind != "llama":
        folder = make_model(tmp_path / kind, kind=kind)
        scale_head(folder, 60.0)
    found = benchmarks.check_scores(ModelScorer(folder), questions())
    assert set(found["batch"].drop_nulls()) == {1, 2, 3, 64}
    assert set(found["padding"]) == {"none", "left", "right"}
    assert set(found["layout"]) == {"packed", "padded", "their own class"}
    assert found["within"].all(), found
    assert found["flips"].sum() == 0
    assert found["spread"][0] > 0.05  # scores near 0 would prove nothing


def test_the_spread_in_bfloat16_is_stated_and_not_judged(rewards):
    found = benchmarks.check_scores(ModelScorer(rewards[0]), questions(), precisions=("bfloat16",))
    assert found["within"].null_count() == len(found)
    assert 1e-5 < found["largest"].max() < found["spread"][0]


def test_a_padding_token_that_ends_a_text_is_refused(rewards):
    """Its own class would read such a model one token too early."""
    tokenizer = AutoTokenizer.from_pretrained(rewards[0])
    folder = rewards[0].parent / "pads-with-end"
    shutil.copytree(rewards[0], folder, dirs_exist_ok=True)
    tokenizer.chat_template = tokenizer.chat_template.replace("eos_token", "'x' + eos_token")
    tokenizer.save_pretrained(folder)
    scorer = ModelScorer(folder)
    scorer.tokenizer.pad_token = None
    found = benchmarks.check_scores(scorer, questions())
    assert found["within"].all()
    changed = AutoTokenizer.from_pretrained(folder)
    changed.pad_token = changed.eos_token
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"pad_token_id": 4', '"pad_token_id": 1'))
    changed.save_pretrained(folder)
    with pytest.raises(ValueError, match="padding token"):
        benchmarks.check_scores(ModelScorer(folder), questions())


def test_a_long_prompt_keeps_its_response_and_is_counted(tmp_path, rewards):
    words = " ".join(np.random.default_rng(0).choice(WORDS, 5000))
    folder = make_model(tmp_path / "short", max_position_embeddings=256)
    scorer = ModelScorer(folder)
    prompt = [{"role": "user", "content": words}]
    asked = [(prompt, ("kind answer",)), (prompt, ("rude answer",)), (prompt, (words,))]
    found = scorer.read(asked)
    assert found.scores[0] != found.scores[1]
    assert (found.lost[:2] > 4700).all()
    assert found.response_lost[:2].tolist() == [0, 0]
    assert found.response_lost[2] > 4700
    alone = ModelScorer(folder, Reading(layout="padded", padding_side="left", batch=2)).read(asked)
    assert alone.scores == pytest.approx(found.scores, abs=1e-5)
    whole = ModelScorer(rewards[0]).read(asked[:2])
    assert whole.lost.tolist() == [0, 0]
    assert whole.tokens > 10_000
    cut = ModelScorer(rewards[0], Reading(max_tokens=100)).read(asked[:2])
    assert cut.tokens == 200
    with pytest.raises(ValueError, match="max_tokens is 300; allowed: 256"):
        _ = ModelScorer(folder, Reading(max_tokens=300)).longest


def test_truncated_items_are_counted_in_the_result(pairs_file, rewards):
    result = benchmarks.evaluate_file(rewards[0], pairs_file, max_tokens=12)
    assert result.as_dict()["items_truncated"] == (result.items["cut"] > 0).sum() > 0
    assert result.as_dict()["items_with_response_cut"] > 0


def test_a_model_without_a_chat_template_is_refused_unless_one_is_named(tmp_path, rewards):
    folder = tmp_path / "bare"
    shutil.copytree(rewards[0], folder)
    for name in ("chat_template.jinja",):
        (folder / name).unlink()
    with pytest.raises(ValueError, match=r"has no chat template.*allowed: --template plain"):
        ModelScorer(folder)
    plain = ModelScorer(folder, Reading(template="plain")).read(questions(3)).scores
    own = tmp_path / "own.jinja"
    own.write_text((rewards[0] / "chat_template.jinja").read_text())
    named = ModelScorer(folder, Reading(template=str(own))).read(questions(3)).scores
    assert named == pytest.approx(ModelScorer(rewards[0]).read(questions(3)).scores, abs=1e-6)
    assert abs(named - plain).max() > 1e-3
    with pytest.raises(FileNotFoundError, match=r"template 'none\.jinja' is no file"):
        ModelScorer(folder, Reading(template="none.jinja"))


def test_a_language_model_is_refused_for_its_head_would_be_new(tmp_path, rewards):
    folder = tmp_path / "causal"
    tokenizer = AutoTokenizer.from_pretrained(rewards[0])
    AutoModelForCausalLM.from_config(
        LlamaConfig(**SIZES, vocab_size=len(tokenizer), architectures=["LlamaForCausalLM"])
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with pytest.raises(ValueError, match="its head would be new"):
        ModelScorer(folder)
    # and where its configuration claims one label but no head is in the file
    config = folder / "config.json"
    told = config.read_text().replace("LlamaForCausalLM", "LlamaForSequenceClassification")
    config.write_text(told.replace("{", '{"id2label": {"0": "r"}, "label2id": {"r": 0},', 1))
    with pytest.raises(ValueError, match=r"weights missing: score\.weight; they would start"):
        ModelScorer(folder).read(questions(2))


def test_other_heads_and_names_that_are_nothing_are_refused(tmp_path):
    folder = make_model(tmp_path / "two")
    config = folder / "config.json"
    told = json.loads(config.read_text())
    told["id2label"], told["label2id"] = {"0": "a", "1": "b"}, {"a": 0, "b": 1}
    config.write_text(json.dumps(told))
    with pytest.raises(ValueError, match="gives 2 logits; allowed: 1"):
        ModelScorer(folder)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        ModelScorer(tmp_path / "nothing" / "here")


def test_a_name_that_the_hub_does_not_give_says_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="the hub cannot be reached or does not give it"):
        ModelScorer("nobody/nothing")


def test_the_identity_knows_weights_settings_and_template(rewards, tmp_path):
    first = ModelScorer(rewards[0]).identity
    assert ModelScorer(rewards[0]).identity == first
    others = [ModelScorer(rewards[1]), ModelScorer(rewards[0], Reading(max_tokens=50))]
    others.append(ModelScorer(rewards[0], Reading(template="plain")))
    assert len({first, *(o.identity for o in others)}) == 4


def test_the_imitation_gives_the_system_prompt_to_the_user_and_masks_a_second_beginning(
    rewards, tmp_path
):
    system = [{"role": "system", "content": "be kind"}, {"role": "assistant", "content": "yes"}]
    mine = [(system, ("a kind answer",))]
    as_user = [([{"role": "user", "content": "be kind"}, system[1]], ("a kind answer",))]
    imitating = ModelScorer(rewards[0], Reading(imitate="rewardbench"))
    assert imitating.read(mine).scores == pytest.approx(
        ModelScorer(rewards[0]).read(as_user).scores
    )
    from tokenizers.processors import TemplateProcessing

    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(rewards[0])
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    imitating.tokenizer = tokenizer
    again = imitating.read(questions())
    plain = ModelScorer(rewards[0]).read(questions())
    assert again.tokens == plain.tokens + 12  # a second beginning a row
    assert again.scores == pytest.approx(
        plain.scores, abs=1e-4
    )  # masked, and rotary positions shift


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("layout", "ragged", "layout is 'ragged'; allowed: 'packed', 'padded'"),
        ("precision", "int8", "precision is 'int8'"),
        ("batch", 0, "batch is 0; allowed: 1 or more"),
        ("imitate", "others", "imitate is 'others'"),
    ],
)
def test_settings_out_of_range_are_refused(field, value, told):
    with pytest.raises(ValueError, match=told):
        Reading(**{field: value})


def test_nothing_is_left_on_the_graph(rewards):
    scorer = ModelScorer(rewards[0])
    scorer.read(questions(2))
    assert not scorer.model.training
    assert all(p.grad is None for p in scorer.model.parameters())
    assert torch.is_grad_enabled()
