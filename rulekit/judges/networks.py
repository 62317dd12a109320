"""Networks of a small judge over MiniLM: texts come in, logits of no / irrelevant / yes go out.

`frozen` and `sentences` encode each text once and combine what comes out, so that a hundred rules
cost little more than one. `cross` and `joint` read rule and response in one sequence, a pass for
each rating. `rulekit.training.encoder_judge` trains them; `judges.encoder` rates with one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence

import torch
from torch import nn

from rulekit.encoder import MAX_TOKENS, Encoder

ANSWERS = ("no", "irrelevant", "yes")  # the classes: score -1, 0, +1
_WHOLE = MAX_TOKENS - 2  # tokens of a text that the encoder reads as one, between its own two
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]”’]*\s+|\n+")


class Frozen(nn.Module):
    """Bi-encoder, nothing of it trained but a head over the interactions of frozen vectors.

    The features of a rating are p∘r, x∘r and r for the unit vectors of prompt, response and rule.
    """

    epochs, rate, batch = 12, 3e-3, 16
    reads = (_WHOLE, _WHOLE, _WHOLE)  # tokens of prompt, response and rule

    def __init__(self):
        super().__init__()
        self.head = _head(3 * Encoder.load().model.config.hidden_size)

    def encode(self, prompts: Sequence[str], responses: Sequence[str], rules: Sequence[str]):
        """What `forward` reads; each text is encoded once."""
        return [torch.from_numpy(Encoder.load().embed(t)) for t in (prompts, responses, rules)]

    def forward(self, encoded, rows: torch.Tensor) -> torch.Tensor:
        """Logits of some of the responses under every rule, (len(rows), n_rules, 3)."""
        p, x, r = encoded[0][rows, None], encoded[1][rows, None], encoded[2][None]
        scale = r.shape[-1] ** 0.5  # unit vectors to unit variance, so that all features are alike
        features = [p * r * scale, x * r * scale, r.expand(len(rows), -1, -1)]
        return self.head(torch.cat(features, -1) * scale)


class Sentences(nn.Module):
    """Bi-encoder over frozen vectors of sentences: a rule looks at the sentences nearest to it.

    Texts are encoded once, a response also sentence by sentence. What a rating reads are products
    of rule and text in a space of `rank` learned directions (text: prompt, response, and the
    sentences weighted by their similarity to the rule), the similarities themselves, and a few
    directions of the rule. The small rank and the large dropout keep 84 prompts from being learned
    by heart.
    """

    epochs, rate, batch = 20, 2e-3, 16
    reads = Frozen.reads
    most = 32  # sentences of a response

    def __init__(self, rank: int = 64, rule_rank: int = 16, dropout: float = 0.6):
        super().__init__()
        dim = Encoder.load().model.config.hidden_size
        names = ("prompt", "response", "sentence", "rule")
        self.project = nn.ModuleDict({n: nn.Linear(dim, rank, bias=False) for n in names})
        self.about = nn.Linear(dim, rule_rank)
        self.dropout = nn.Dropout(dropout)
        self.head = _head(3 * rank + rule_rank + 7, dropout=dropout)

    def encode(self, prompts: Sequence[str], responses: Sequence[str], rules: Sequence[str]):
        split = [sentences(text)[: self.most] for text in responses]
        vectors = torch.from_numpy(Encoder.load().embed([s for part in split for s in part]))
        parts = vectors.split([len(part) for part in split])
        whole = [torch.from_numpy(Encoder.load().embed(t)) for t in (prompts, responses, rules)]
        return *whole, nn.utils.rnn.pad_sequence(parts, batch_first=True)

    def forward(self, encoded, rows: torch.Tensor) -> torch.Tensor:
        prompt, response, rule, sentence = encoded
        prompt, response, sentence = prompt[rows], response[rows], sentence[rows]
        absent = ~sentence.any(-1)[:, None]  # (b, 1, n_sentences): padding
        near = (sentence @ rule.T).transpose(1, 2)  # (b, n_rules, n_sentences)
        weight = (15 * near).masked_fill(absent, -torch.inf).softmax(-1)
        best = near.masked_fill(absent, -1).amax(-1)
        worst = near.masked_fill(absent, 1).amin(-1)
        mean = near.masked_fill(absent, 0).sum(-1) / (~absent).sum(-1)
        both = (prompt * response).sum(-1, keepdim=True).expand_as(best)
        similarity = [prompt @ rule.T, response @ rule.T, best, worst, mean, near[..., 0], both]
        unit = rule.shape[-1] ** 0.5  # unit vectors to unit variance
        r = self.project["rule"](rule * unit)
        products = [
            self.project["prompt"](prompt * unit)[:, None] * r,
            self.project["response"](response * unit)[:, None] * r,
            weight @ self.project["sentence"](sentence * unit) * r,
        ]
        about = self.about(rule * unit).expand(len(rows), -1, -1)
        features = self.dropout(torch.cat([*products, about], -1))
        return self.head(torch.cat([features, 5 * torch.stack(similarity, -1)], -1))


class CrossEncoder(nn.Module):
    """Rule and response in one sequence, with `prompt` the prompt between them; one pass a rating.

    Trained on every relevant rule of a response and `sampled` times as many irrelevant ones. The
    logit of 'irrelevant' is shifted by the log of the share sampled, so that probabilities are
    those of all rules (King & Zeng, "Logistic regression in rare events data", 2001).
    """

    epochs, rate, batch, sampled, largest = 2, 1e-3, 2, 1, 64

    def __init__(self, prompt: bool = False, layers: int = 6):
        super().__init__()
        self.encoder, self.prompt = _trainable_copy(layers), prompt
        self.reads = (64 if prompt else None, 160, 64)
        self.head = nn.Linear(self.encoder.config.hidden_size, len(ANSWERS))
        self.register_buffer("offset", torch.zeros(len(ANSWERS)))

    def encode(self, prompts: Sequence[str], responses: Sequence[str], rules: Sequence[str]):
        of_prompt, of_response, of_rule = self.reads
        parts = [_tokens(responses, of_response)]
        if self.prompt:
            parts.insert(0, _tokens(prompts, of_prompt, last=True))
        return list(zip(*parts, strict=True)), _tokens(rules, of_rule)

    def forward(self, encoded, rows: torch.Tensor) -> torch.Tensor:
        n_rules = len(encoded[1])
        cells = [(i, j) for i in rows.tolist() for j in range(n_rules)]
        parts = [
            self._cells(encoded, cells[k : k + self.largest])
            for k in range(0, len(cells), self.largest)
        ]
        return torch.cat(parts).reshape(len(rows), n_rules, -1) + self.offset

    def training_logits(self, encoded, rows, target, generator):
        relevant = target != 1
        wanted = self.sampled * relevant.sum(1, keepdim=True)
        noise = torch.rand(target.shape, generator=generator).masked_fill(relevant, -1)
        taken = noise.argsort(1).argsort(1) < relevant.sum(1, keepdim=True) + wanted
        irrelevant = (~relevant).sum()
        if irrelevant:
            share = ((taken & ~relevant).sum() / irrelevant).clamp_min(1e-3)
            self.offset[1] = 0.99 * self.offset[1] - 0.01 * share.log()
        at = taken.nonzero().tolist()
        logits = self._cells(encoded, [(int(rows[i]), j) for i, j in at])
        return logits, target[taken]

    def _cells(self, encoded, cells: list[tuple[int, int]]) -> torch.Tensor:
        batch = _sequences([(encoded[1][j], *encoded[0][i]) for i, j in cells])
        states, mask = self.encoder(**batch).last_hidden_state, batch["attention_mask"][..., None]
        return self.head((states * mask).sum(1) / mask.sum(1))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "frozen": Frozen,
    "sentences": Sentences,
    "cross": CrossEncoder,
    "joint": lambda: CrossEncoder(prompt=True),
}


def name_of(model: nn.Module) -> str:
    """The name in `NETWORKS` of a network."""
    if isinstance(model, CrossEncoder):
        return "joint" if model.prompt else "cross"
    return next(name for name, kind in NETWORKS.items() if type(model) is kind)


def network_logits(
    model: nn.Module, prompts: Sequence[str], responses: Sequence[str], rules: Sequence[str]
) -> torch.Tensor:
    """Logits of every response under every rule, (n_responses, n_rules, 3)."""
    encoded = model.encode(prompts, responses, rules)
    # Alike lengths in a batch: the least padding.
    order = torch.as_tensor(sorted(range(len(responses)), key=lambda i: -len(responses[i])))
    with torch.inference_mode():
        found = torch.cat([model(encoded, rows) for rows in order.split(model.batch)])
    return found[order.argsort()]


def tokens_over(texts: Sequence[str], most: int | None) -> list[int]:
    """Tokens of each text beyond the first `most`, (n_texts,); None reads none and cuts none."""
    if most is None:
        return [0] * len(texts)
    # Decomposed, as the tokenizer reads it, a letter has up to four parts.
    long = list({text for text in texts if 4 * len(text) > most})
    over = {text: len(ids) - most for text, ids in zip(long, _ids(long), strict=True)}
    return [max(0, over.get(text, 0)) for text in texts]


def sentences(text: str) -> list[str]:
    """The sentences of a text, split after full stops and the like and at line breaks."""
    return [part for part in _SENTENCE_END.split(text) if part.strip()] or [text]


def _head(n_features: int, hidden: int = 64, dropout: float = 0.2) -> nn.Module:
    return nn.Sequential(
        nn.Linear(n_features, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, len(ANSWERS)),
    )


def _trainable_copy(layers: int) -> nn.Module:
    """The encoder with only its top layers (and, with all of them, the embeddings) trainable."""
    encoder = copy.deepcopy(Encoder.load().model)
    stack = encoder.encoder.layer
    encoder.requires_grad_(layers >= len(stack))
    for layer in stack[len(stack) - layers :]:
        layer.requires_grad_(True)
    return encoder


def _tokens(texts: Sequence[str], most: int, last: bool = False) -> list[list[int]]:
    """Token ids without special ones, cut to the first (or last) `most`."""
    return [i[-most:] if last else i[:most] for i in _ids(texts)]


def _ids(texts: Sequence[str]) -> list[list[int]]:
    if not len(texts):
        return []
    tokenizer = Encoder.load().tokenizer
    return tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]


def _sequences(parts: list[tuple[list[int], ...]]):
    """One padded batch of `[CLS] part [SEP] part [SEP]` …"""
    tokenizer = Encoder.load().tokenizer
    rows = []
    for row in parts:
        ids = [tokenizer.cls_token_id]
        for part in row:
            ids += [*part, tokenizer.sep_token_id]
        rows.append(ids)
    return tokenizer.pad({"input_ids": rows}, return_tensors="pt")
