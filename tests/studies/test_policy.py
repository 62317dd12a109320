"""A saved reward model is a reward in TRL's GRPO and RLOO as it is, on a tiny policy and on a real one."""

import pytest
from transformers import AutoModelForCausalLM, LlamaConfig

import rulekit as rk
from tests.training.helpers import SIZES, make_model, make_tokenizer

pytest.importorskip("trl")
PROMPTS = ["kind answer", "rude people", "help me please"]


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("reward"))


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("policy"), make_tokenizer("<pad>")
    ids = {n: getattr(tokenizer, n) for n in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = LlamaConfig(**SIZES, vocab_size=len(tokenizer), **ids)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["grpo", "rloo"])
def test_the_trainer_takes_the_rewards_of_the_kit(method, policy, reward):
    run = rk.studies.optimise_policy(
        policy, reward, PROMPTS, method=method, steps=2, group=3, max_new_tokens=6
    )
    assert run.steps["step"].to_list() == [1, 2]
    assert len(run.completions) == 6
    assert run.completions["reward"].n_unique() > 1
    gap = rk.studies.policy_gap(run, reward)
    assert gap < 1e-5
    mean = run.completions.filter(step=2)["reward"].mean()
    assert run.steps["reward"][1] == pytest.approx(mean)
    said = rk.studies.policy_findings(run, gap)
    assert "first step" in said
    assert "rewards are those of the kit" in said


def test_what_cannot_be_optimised_is_refused(policy, reward):
    with pytest.raises(ValueError, match="method is 'ppo'; allowed: grpo, rloo"):
        rk.studies.optimise_policy(policy, reward, PROMPTS, method="ppo")
    with pytest.raises(ValueError, match="2 or more a group"):
        rk.studies.optimise_policy(policy, reward, PROMPTS, group=1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_small_real_model_is_trained_against_a_saved_reward(smollm2, tmp_path):
    pairs = rk.load_pairs("embedded").head(60)
    rk.train_reward(pairs).save(tmp_path / "reward")
    asked = ["How do I boil an egg?"]
    run = rk.studies.optimise_policy(
        smollm2, tmp_path / "reward", asked, steps=1, group=2, max_new_tokens=8
    )
    assert rk.studies.policy_gap(run, tmp_path / "reward") < 1e-4
