"""Presets: a name, and the fields of `TrainingConfig` that it stands for; `load_config` reads them."""

PRESETS: dict[str, dict] = {
    # A head on the 22M encoder's vectors: convex for rewards, full batches for an adapter.
    "encoder-frozen": {
        "frozen": True,
        "objective": "soft",
        "l2": 30.0,
        "epochs": 50,
        "learning_rate": 3e-3,
        "weight_decay": 0.1,
        "evaluation_share": 0.0,
    },
    # The 22M encoder on a laptop.
    "encoder-cpu": {
        "model": "minilm",
        "max_tokens": 256,
        "token_budget": 4096,
        "pairs_per_step": 16,
        "learning_rate": 5e-5,
        "weight_decay": 0.01,
        "warmup": 0.1,
        "epochs": 1,
    },
    # A head on the states of a real small language model: one pass over the texts.
    "smollm2-frozen": {
        "model": "smollm2-135m",
        "frozen": True,
        "objective": "soft",
        "l2": 3.0,
        "precision": "bf16",
        "max_tokens": 1024,
        "token_budget": 2048,
        "evaluation_share": 0.0,
    },
    # The whole of it, on two patient cores. Products in bfloat16 are twice as quick as in float32
    # where the processor has them.
    "smollm2-reward": {
        "model": "smollm2-135m",
        "max_tokens": 1024,
        "token_budget": 2048,
        "pairs_per_step": 16,
        "learning_rate": 5e-5,
        "weight_decay": 0.01,
        "warmup": 0.1,
        "precision": "bf16",
        "objective": "soft",
    },
    # Its Rule Adapter: a multi-label head starts from nothing and wants a higher rate.
    "smollm2-adapter": {
        "model": "smollm2-135m",
        "max_tokens": 1024,
        "token_budget": 2048,
        "pairs_per_step": 16,
        "learning_rate": 1e-4,
        "weight_decay": 0.01,
        "warmup": 0.1,
        "precision": "bf16",
    },
    # A first decoder: one small GPU, or a patient CPU.
    "llama-1b": {
        "model": "meta-llama/Llama-3.2-1B-Instruct",
        "max_tokens": 2048,
        "token_budget": 16_384,
        "pairs_per_step": 32,
        "learning_rate": 1e-5,
        "precision": "bf16-stochastic",
        "optimizer_states": "bf16",
        "checkpointed_layers": "all",
    },
    # The authors' settings as far as their released code states them; the schedule is the default of
    # transformers' trainer. They train on all their pairs and hold nothing out. They pad every
    # sequence to 1,024 tokens, which changes the cost and not the gradient. Bfloat16 weights are
    # ours: 16 bytes a parameter would not leave room on one GPU.
    "paper-8b": {
        "model": "Skywork/Skywork-Reward-Llama-3.1-8B-v0.2",
        "max_tokens": 1024,
        "token_budget": 32_768,
        "pairs_per_step": 32,
        "epochs": 2,
        "evaluation_share": 0.0,
        "learning_rate": 2e-5,
        "schedule": "linear",
        "warmup": 10,
        "precision": "bf16-stochastic",
        "optimizer_states": "float32",
        "checkpointed_layers": "all",
    },
    # Ours: longer context, centred rewards, lower rate, half the optimiser's memory.
    "h200-8b": {
        "model": "Skywork/Skywork-Reward-Llama-3.1-8B-v0.2",
        "max_tokens": 4096,
        "token_budget": 32_768,
        "pairs_per_step": 64,
        "epochs": 1,
        "learning_rate": 5e-6,
        "warmup": 0.05,
        "center": 0.01,
        "precision": "bf16-stochastic",
        "optimizer_states": "bf16",
        "checkpointed_layers": "all",
    },
}
