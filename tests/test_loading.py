"""Models loaded in several threads at once leave transformers as it was."""

from concurrent.futures import ThreadPoolExecutor

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rulekit.encoder import Encoder
from rulekit.judges import LocalJudge
from tests.judges.tiny_judge import save_tiny_judge


def test_models_loaded_in_threads_leave_tied_weights_tied(tmp_path):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 50}
    tied = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=True))
    tied.save_pretrained(tmp_path / "tied")
    judge, here = save_tiny_judge(tmp_path / "judge"), Encoder.load()
    before = PreTrainedModel.tie_weights

    def load(i: int) -> None:
        if i % 2:
            LocalJudge.load(judge, device="cpu")
        else:
            assert Encoder(here.path, here.digest).model is not None

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(load, range(32)))
    try:
        assert PreTrainedModel.tie_weights is before
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "tied")
        assert torch.equal(again.lm_head.weight, tied.lm_head.weight)
    finally:
        PreTrainedModel.tie_weights = before
