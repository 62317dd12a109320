"""A causal language model on this machine as a judge: responses and rules in, probabilities out.

The model reads the template's prompt through its own chat template and is asked for one word.
All rules of a response (or, with `rule_first`, all responses of a rule) share one pass: see
`shared_pass`. Notebooks and the command line call `LocalJudge.load`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import Field

from rulekit import loading, models
from rulekit.files import sha256
from rulekit.inputs.pairs import dialogue
from rulekit.inputs.rules import RuleSet
from rulekit.judges import prompts as templates
from rulekit.judges.contract import Rating, Usage, keeping, wanted_cells
from rulekit.judges.local.tokens import answer_tokens, encode, skeleton
from rulekit.judges.local.weights import folder_or_name, own_template, weights_name
from rulekit.judges.mass import LEAST_MASS, enough_mass, too_little, warn_if_low
from rulekit.judges.prompts import ANSWERS, PromptedJudge, Template
from rulekit.judges.settings import Settings
from rulekit.judges.texts import askable, compiled, markers_of, plain

RULE_TOKENS = 256  # room kept for any rule, so that a cut never depends on which rules are asked
# Allowed relative difference of shared and separate logits. In half precision rounding alone makes
# up to .05 of it on a small model on a CPU, and more on a GPU; a rule that sees another .2 to .3.
_FULL, _HALF, _HALF_ON_GPU = 1e-3, 0.1, 0.15


class _Numbers(Settings):
    tokens_per_batch: int | None = Field(ge=1, description="whole numbers from 1")
    max_tokens: int | None = Field(ge=1, description="whole numbers from 1")
    least_mass: float = Field(ge=0, le=1, description="from 0 to 1")


@dataclass(eq=False)
class LocalJudge(PromptedJudge):
    """A causal language model that answers yes, no or irrelevant; made by `load`.

    Parameters
    ----------
    model, tokenizer
        Of transformers; the tokenizer must be a fast one.
    name
        Stands in the identity for the weights: name and revision, or folder and digest.
    template
        The name of a registered template, a `Template`, or its fields as a mapping.
    tokens_per_batch
        Upper bound of one pass, in tokens; by default 1,024 on a CPU, where larger temporaries fall
        out of its caches, and 32,768 on a GPU.
    max_tokens
        Longest prompt, in tokens; by default what the model's positions allow.
    attention
        `grouped`, `flex`, or `separate` for one sequence a rating (the reference).
    least_mass
        The least answer mass that makes a rating, in [0, 1]; a cell with less fails. It decides
        which ratings a store holds, and so is part of the identity.

    Raises
    ------
    ValueError
        For settings out of range, or if the chat template alters the conversation, or the
        tokenizer cannot tell the three answers apart.
    """

    model: object  # transformers.PreTrainedModel
    tokenizer: object  # transformers.PreTrainedTokenizerBase
    name: str
    template: str | Mapping | Template = templates.DEFAULT
    tokens_per_batch: int | None = None
    max_tokens: int | None = None
    attention: str | None = None
    least_mass: float = LEAST_MASS
    _verified: int = field(default=0, init=False)  # longest sequence checked against its own pass
    _warned: bool = field(default=False, init=False)  # of an answer mass that is low

    def __post_init__(self) -> None:
        from rulekit.judges.local.shared_pass import WAYS, refusal

        for name, value in _Numbers(**{n: getattr(self, n) for n in _Numbers.model_fields}):
            setattr(self, name, value)
        on_gpu = self.model.get_input_embeddings().weight.device.type == "cuda"
        self.template = templates.template_named(self.template)
        self.attention = self.attention or ("flex" if on_gpu else "grouped")
        if self.attention not in (*WAYS, "separate"):
            raise ValueError(
                f"unknown attention {self.attention!r}; allowed: {', '.join(WAYS)}, separate"
            )
        if self.attention != "separate" and (reason := refusal(self.model)):
            self._fall_back(reason, "separate")
        self.tokens_per_batch = self.tokens_per_batch or (32_768 if on_gpu else 1_024)
        longest = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self.max_tokens = min(self.max_tokens or longest or 8_192, longest or 8_192)
        self.pieces, self.closed = skeleton(self.tokenizer, self.template)
        self.spellings = answer_tokens(self.tokenizer)
        self.marks = compiled(self.template.marks, *markers_of(self.tokenizer, split=True))

    @classmethod
    def load(
        cls,
        model: str | Path,
        revision: str | None = None,
        template: str | Mapping | Template | None = None,
        dtype: str | None = None,
        device: str | None = None,
        tokens_per_batch: int | None = None,
        max_tokens: int | None = None,
        attention: str | None = None,
        least_mass: float = LEAST_MASS,
    ) -> LocalJudge:
        """Load a model as a judge.

        Parameters
        ----------
        model
            A name of `rulekit.models.names`, a folder, or a name on the hub. What looks like a path
            must be a folder.
        revision
            Commit, tag or branch on the hub.
        template
            As for `LocalJudge`; by default the one that lies in the model's folder, where
            `rulekit train judge` left it, else `conversation_first`.
        dtype
            `float32`, `bfloat16` or `float16`; by default bfloat16 on a GPU, else float32.
        device
            As torch names it; by default the GPU if there is one.
        tokens_per_batch, max_tokens, attention, least_mass
            As for `LocalJudge`.

        Returns
        -------
        The judge, its identity made of the name and commit, or of a digest of the folder.

        Raises
        ------
        ValueError
            For an unknown dtype or a folder that there is not, and as for `LocalJudge`.
        FileNotFoundError
            If a named model is not here and cannot be fetched.
        """
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = folder_or_name(models.path(model))
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or ("bfloat16" if device.startswith("cuda") else "float32")
        if dtype not in (allowed := ("float32", "bfloat16", "float16")):
            raise ValueError(f"dtype is {dtype!r}; allowed: {', '.join(allowed)}")
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ValueError(f"device is {device!r}, and torch finds no GPU; allowed: 'cpu'")
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
        try:
            with loading.ALONE:
                network = AutoModelForCausalLM.from_pretrained(
                    model, revision=revision, dtype=getattr(torch, dtype)
                )
        except SafetensorError as error:
            raise ValueError(f"model {model}: {error}; allowed: weights that are whole") from None
        name = weights_name(model, revision)
        template = own_template(model) if template is None else template
        settings = (template, tokens_per_batch, max_tokens, attention, least_mass)
        return cls(network.to(device).eval(), tokenizer, name, *settings)

    @property
    def identity(self) -> str:
        """Everything a rating depends on: weights, template, tokens of the prompt, dtype, limits.

        How passes are batched is not part of it: that changes ratings by rounding only.
        """
        words = sha256(repr((self.pieces, self.closed, self.spellings)))[:16]
        dtype = str(self.model.dtype).removeprefix("torch.")
        return (
            f"local {self.name} {dtype} template {self.template.name}:{self.template.hash[:16]} "
            f"tokens {words} max {self.max_tokens} plain {sha256(self.marks.pattern)[:16]} "
            f"mass {self.least_mass:g}"
        )

    def with_template(self, template: str | Mapping | Template) -> LocalJudge:
        """The same model asked in other words."""
        return replace(self, template=template)

    def rate(
        self,
        prompts: Sequence[str | list[dict]],
        responses: Sequence[str],
        rules: RuleSet,
        mask: np.ndarray | None = None,
    ) -> Rating:
        """Rate responses under rules, as `rulekit.judges.Judge.rate` says.

        Returns
        -------
        The rating; its `mass` is the probability that the model gave to the three answers. A cell
        fails whose mass is below `least_mass`, or whose texts no tokenizer can read.

        Raises
        ------
        ValueError
            If arguments do not fit, or a rule has more than `RULE_TOKENS` tokens (a quarter of
            `max_tokens` where that is less).

        Notes
        -----
        With m_a the probability that the next token begins a spelling of answer a, gives
        m_a / Σ m; the sum Σ m is the answer mass. A conversation that is too long loses the
        beginning of its prompt first, then the end of its response; instruction, rule and question
        are never cut. Markers of a chat in the texts are read as plain text, and what the
        tokenizer would not read so, or is a mark of the prompt itself, is made plain before.
        """
        wanted = wanted_cells(prompts, responses, rules, mask)
        rating = Rating.blank(*wanted.shape)
        wanted = askable(prompts, responses, rules, wanted, rating.failures)
        rows, columns = wanted.any(axis=1), wanted.any(axis=0)
        talks, rating.usage = self._conversations(prompts, responses, rows)
        trees, cells = self._trees(talks, self._rules(rules, columns), wanted)
        masses = []
        with keeping(rating):
            if trees:
                self._verify(trees)
            for where, answers, n_tokens, one_by_one in self._passes(trees, cells):
                masses.append(answers[:, 3])
                self._enter(rating, where, answers)
                rating.usage.tokens += n_tokens
                rating.usage.tokens_one_by_one += one_by_one
        if masses and not self._warned:
            self._warned = warn_if_low(np.concatenate(masses), self.name)
        return rating

    def trees(self, prompts, responses, rules: RuleSet, mask: np.ndarray | None = None):
        """The prompts that `rate` runs, as tokens.

        Parameters
        ----------
        prompts, responses, rules, mask
            As for `rate`.

        Returns
        -------
        Trees of `rulekit.judges.local.shared_pass`, and of each the rows and columns of the ratings
        that its suffixes ask for. What cannot be asked is left out.
        """
        wanted = wanted_cells(prompts, responses, rules, mask)
        wanted = askable(prompts, responses, rules, wanted, {})
        talks, _ = self._conversations(prompts, responses, wanted.any(axis=1))
        return self._trees(talks, self._rules(rules, wanted.any(axis=0)), wanted)

    def _enter(self, rating: Rating, where, answers: np.ndarray) -> None:
        """Answers, (n, 6) as `_answers` gives them, as ratings of their cells or as failures."""
        rows, columns = where
        enough = enough_mass(answers[:, 3], self.least_mass)
        made = rows[enough], columns[enough]
        rating.probabilities[made], rating.mass[made] = answers[enough, :3], answers[enough, 3]
        for at in np.flatnonzero(~enough):
            mass, share, token = answers[at, 3:].tolist()
            reason = too_little(mass, self.tokenizer.decode([int(token)]), share, self.least_mass)
            rating.failures[int(rows[at]), int(columns[at])] = reason

    def _conversations(self, prompts, responses, asked) -> tuple[list[list[list[int]]], Usage]:
        """Token ids of prompt and response within the limit, of rows that are asked about."""
        room = self.max_tokens - sum(len(p) for p in self.pieces if isinstance(p, list))
        room -= self._rule_room()
        if room < 2:
            raise ValueError(f"max_tokens {self.max_tokens} leaves no room for a conversation")
        talks, usage = [], Usage()
        for prompt, response, wanted in zip(prompts, responses, asked, strict=True):
            if not wanted:
                talks.append([[], []])
                continue
            prompt = dialogue(prompt)
            p, r = self._read("prompt", prompt), self._read("response", response)
            lost = max(0, len(p) + len(r) - room)
            kept = max(len(p) - lost, min(len(p), room // 4))  # of the prompt, its end
            if len(r) > room - kept:
                r = r[: room - kept - 1] + r[-1:]  # the last token carries the line break
            talks.append([p[len(p) - kept :], r])
            usage.truncated += lost > 0
            usage.tokens_cut += lost
            usage.neutralised += any(map(self.marks.search, (prompt, response)))
        return talks, usage

    def _rules(self, rules: RuleSet, asked: np.ndarray) -> list[list[int]]:
        given = zip(rules.texts, asked, strict=True)
        read = [self._read("rule", text) if wanted else [] for text, wanted in given]
        for rule, ids in zip(rules, read, strict=True):
            if len(ids) > (most := self._rule_room()):
                raise ValueError(f"rule {rule.id!r} has {len(ids)} tokens; allowed: up to {most}")
        return read

    def _read(self, place: str, text: str) -> list[int]:
        text = plain(text, self.marks)
        return encode(self.tokenizer, text + "\n" * (place in self.closed)) if text else []

    def _rule_room(self) -> int:
        return min(RULE_TOKENS, self.max_tokens // 4)

    def _trees(self, talks, asked, wanted):
        """One tree a response (or a rule), and the cells of the result that its suffixes fill."""
        from rulekit.judges.local.shared_pass import Tree

        def fill(pieces, values):
            return [i for p in pieces for i in (p if isinstance(p, list) else values[p])]

        by_rule = self.template.shared == "rule"
        split = self.pieces.index("prompt" if by_rule else "rule")
        before, after = self.pieces[:split], self.pieces[split:]
        talk = [dict(zip(("prompt", "response"), t, strict=True)) for t in talks]
        rule = [{"rule": ids} for ids in asked]
        heads, tails, grid = (rule, talk, wanted.T) if by_rule else (talk, rule, wanted)
        trees, cells = [], []
        for h, row in enumerate(grid):
            chosen = np.flatnonzero(row)
            if len(chosen):
                trees.append(Tree(fill(before, heads[h]), [fill(after, tails[c]) for c in chosen]))
                here = np.full(len(chosen), h)
                cells.append((chosen, here) if by_rule else (here, chosen))
        return trees, cells

    def _passes(self, trees, cells):
        """Run the trees; yield cells, their answers, (n, 6), tokens run and run one by one."""
        from rulekit.judges.local import shared_pass

        if self.attention == "separate":
            for tree, where in zip(trees, cells, strict=True):
                whole = [tree.prefix + s for s in tree.suffixes]
                answers = shared_pass.run_separately(
                    self.model, whole, self.tokens_per_batch, self._answers
                )
                tokens = sum(map(len, whole))
                yield where, answers.cpu().numpy(), tokens, tokens
            return
        for branch, answers in shared_pass.run(
            self.model, trees, self.tokens_per_batch, self._answers, self.attention
        ):
            part = slice(branch.start, branch.stop)
            tree, (rows, columns) = trees[branch.tree], cells[branch.tree]
            own = sum(map(len, tree.suffixes[part]))
            shared, alone = branch.prefix * len(tree.prefix), len(answers) * len(tree.prefix)
            yield (rows[part], columns[part]), answers.cpu().numpy(), own + shared, own + alone

    def _answers(self, logits):
        """Logits (n, vocabulary) → P(no), P(irrelevant), P(yes), answer mass, (n, 6).

        With the likeliest token's probability and number at the end.
        """
        import torch

        total = logits.logsumexp(-1)
        each = torch.stack([logits[:, self.spellings[a]].logsumexp(-1) for a in ANSWERS], -1)
        mass = (each.logsumexp(-1) - total).exp()
        top = logits.max(-1)
        rest = torch.stack([mass, (top.values - total).exp(), top.indices.to(mass.dtype)], -1)
        return torch.cat([each.softmax(-1), rest], dim=-1)

    def _verify(self, trees) -> None:
        """Compare a shared pass with separate ones at the longest prefix; fall back if they differ.

        Some models see positions in ways that a packed row cannot show (ALiBi, recurrent layers).
        Checked anew whenever prompts become twice as long, since windows show late.
        """
        from rulekit.judges.local import shared_pass

        tree = max(trees, key=lambda t: len(t.prefix))
        length = len(tree.prefix) + max(map(len, tree.suffixes))
        if self.attention == "separate" or length <= 2 * self._verified:
            return
        few = shared_pass.Tree(tree.prefix, tree.suffixes[:2])
        whole = [few.prefix + s for s in few.suffixes]
        alone = shared_pass.run_separately(self.model, whole, self.tokens_per_batch, lambda x: x)
        centred = alone - alone.mean(-1, keepdim=True)
        allowed = _HALF_ON_GPU if self.model.device.type == "cuda" else _HALF
        if str(self.model.dtype) == "torch.float32":
            allowed = _FULL
        while self.attention != "separate":
            slower = "grouped" if self.attention == "flex" else "separate"
            try:
                passes = shared_pass.run(self.model, [few], 10**9, lambda x: x, self.attention)
                shared = next(passes)[1]
            except shared_pass.Unsupported as reason:
                self._fall_back(str(reason), slower)
                continue
            difference = float(((shared - alone).norm() / centred.norm().clamp(min=1e-12)).cpu())
            if difference <= allowed:
                break
            self._fall_back(f"a shared pass changes its logits by {difference:.1%}", slower)
        self._verified = length

    def _fall_back(self, reason: str, attention: str) -> None:
        what = "rating one pass a rule" if attention == "separate" else f"trying {attention!r}"
        warnings.warn(f"{self.name}: {reason}; {what}", stacklevel=4)
        self.attention = attention
