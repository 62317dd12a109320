"""Shared by the tests of judges: a tokenizer, rules and a tiny judge."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import rulekit as rk
from rulekit.judges import prompts
from rulekit.judges.local.judge import LocalJudge
from tests.judges.local_models import CHAT, SPECIAL, build


@pytest.fixture(scope="module")
def tokenizer():
    """Byte-level BPE trained on the embedded rules and pairs, with a chat template."""
    texts = [*rk.RuleSet.load(rk.files.resource("data/rules.yaml")).texts]
    texts += [t.messages("How?", "So.", "Rule.")[0]["content"] for t in prompts.TEMPLATES.values()]
    texts += ["yes no irrelevant Yes No Irrelevant YES NO IRRELEVANT"] * 50
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=SPECIAL,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", chat_template=CHAT)


@pytest.fixture(scope="module")
def rules():
    return rk.RuleSet(rk.RuleSet.load(rk.files.resource("data/rules.yaml")).rules[:7])


@pytest.fixture(scope="module")
def judge(tokenizer):
    return LocalJudge(
        build("llama", len(tokenizer)), tokenizer, "tiny", tokens_per_batch=600, least_mass=0.0
    )
