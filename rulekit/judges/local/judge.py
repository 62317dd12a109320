"""A causal language model on this machine as a judge: responses and rules in, probabilities out.

The model reads the template's prompt through its own chat template and is asked for one word.
All rules of a response (or, with `rule_first`, all responses of a rule) share one pass: see
`shared_pass`. Notebooks and the command line call `LocalJudge.load` and `rate` or `score`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import cache_folder, sha256, sha256_file, write_atomically
from rulekit.inputs.pairs import dialogue
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.judges import prompts as templates
from rulekit.judges.contract import Rating, score_pairs
from rulekit.judges.local.tokens import answer_tokens, encode, skeleton
from rulekit.judges.prompts import ANSWERS, Template

RULE_TOKENS = 256  # room kept for any rule, so that a cut never depends on which rules are asked
_HALF, _FULL = 0.05, 1e-3  # allowed relative difference of shared and separate logits


@dataclass(frozen=True)
class Report:
    """What one call of `rate` did.

    Attributes
    ----------
    responses, ratings
        How many were rated.
    answer_mass_mean, answer_mass_min
        Probability that the model gave to the three answers before renormalising, in [0, 1]:
        low where it would rather say something else.
    truncated, tokens_cut
        Responses whose conversation was cut, and the tokens that were lost.
    tokens, tokens_one_by_one
        Processed, and what one pass a rating would have processed.
    way
        `grouped`, `flex` or `separate`: how the ratings shared their computation.
    seconds
        Wall clock.
    """

    responses: int
    ratings: int
    answer_mass_mean: float
    answer_mass_min: float
    truncated: int
    tokens_cut: int
    tokens: int
    tokens_one_by_one: int
    way: str
    seconds: float

    @property
    def token_ratio(self) -> float:
        """How many times fewer tokens than with one pass a rating."""
        return self.tokens_one_by_one / max(self.tokens, 1)


@dataclass(eq=False)
class LocalJudge:
    """A causal language model that answers yes, no or irrelevant; made by `load`.

    Parameters
    ----------
    model, tokenizer
        Of transformers; the tokenizer must be a fast one.
    name
        Stands in the identity for the weights: name and revision, or folder and digest.
    template
        A `Template` or the name of a registered one.
    tokens_per_batch
        Upper bound of one pass, in tokens; by default 1,024 on a CPU, where larger temporaries fall
        out of its caches, and 32,768 on a GPU.
    max_tokens
        Longest prompt, in tokens; by default what the model's positions allow.
    attention
        `grouped`, `flex`, or `separate` for one sequence a rating (the reference).

    Raises
    ------
    ValueError
        If the chat template alters the conversation, or the tokenizer cannot tell the three
        answers apart.
    """

    model: object  # transformers.PreTrainedModel
    tokenizer: object  # transformers.PreTrainedTokenizerBase
    name: str
    template: Template | str = templates.DEFAULT
    tokens_per_batch: int | None = None
    max_tokens: int | None = None
    attention: str | None = None
    report: Report | None = field(default=None, init=False)
    last: Rating | None = field(default=None, init=False, repr=False)
    _verified: int = field(default=0, init=False)  # longest sequence checked against its own pass

    def __post_init__(self) -> None:
        from rulekit.judges.local.shared_pass import WAYS, refusal

        on_gpu = self.model.get_input_embeddings().weight.device.type == "cuda"
        self.template = templates.template_named(self.template)
        self.attention = self.attention or ("flex" if on_gpu else "grouped")
        if self.attention not in (*WAYS, "separate"):
            raise ValueError(
                f"unknown attention {self.attention!r}; allowed: {', '.join(WAYS)}, separate"
            )
        if self.attention != "separate" and (reason := refusal(self.model)):
            self._fall_back(reason)
        self.tokens_per_batch = self.tokens_per_batch or (32_768 if on_gpu else 1_024)
        longest = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self.max_tokens = min(self.max_tokens or longest or 8_192, longest or 8_192)
        self.pieces, self.closed = skeleton(self.tokenizer, self.template)
        self.spellings = answer_tokens(self.tokenizer)

    @classmethod
    def load(
        cls,
        model: str | Path,
        revision: str | None = None,
        template: Template | str = templates.DEFAULT,
        dtype: str | None = None,
        device: str | None = None,
        **settings,
    ) -> LocalJudge:
        """Load a model as a judge.

        Parameters
        ----------
        model
            A folder, or a name on the hub.
        revision
            Commit, tag or branch on the hub.
        template
            A `Template` or the name of a registered one.
        dtype
            `float32`, `bfloat16` or `float16`; by default bfloat16 on a GPU, else float32.
        device
            As torch names it; by default the GPU if there is one.
        settings
            `tokens_per_batch`, `max_tokens`, `attention`: see the class.

        Returns
        -------
        The judge, its identity made of the name and commit, or of a digest of the folder.

        Raises
        ------
        ValueError
            For an unknown dtype, and as for `LocalJudge`.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or ("bfloat16" if device.startswith("cuda") else "float32")
        if dtype not in (allowed := ("float32", "bfloat16", "float16")):
            raise ValueError(f"dtype is {dtype!r}; allowed: {', '.join(allowed)}")
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
        network = AutoModelForCausalLM.from_pretrained(
            model, revision=revision, dtype=getattr(torch, dtype)
        )
        commit = getattr(network.config, "_commit_hash", None)
        name = f"{model}@{commit}" if commit else f"weights {_folder_digest(Path(model))}"
        return cls(network.to(device).eval(), tokenizer, name, template, **settings)

    @property
    def identity(self) -> str:
        """Everything a rating depends on: weights, template, tokens of the prompt, dtype, limit.

        How passes are batched is not part of it: that changes ratings by rounding only.
        """
        words = sha256(repr((self.pieces, self.closed, self.spellings)))[:16]
        dtype = str(self.model.dtype).removeprefix("torch.")
        return (
            f"local {self.name} {dtype} template {self.template.name}:{self.template.hash[:16]} "
            f"tokens {words} max {self.max_tokens}"
        )

    def with_template(self, template: Template | str) -> LocalJudge:
        """The same model asked in other words."""
        return replace(self, template=template)

    def rate(
        self,
        prompts: Sequence[str | list[dict]],
        responses: Sequence[str],
        rules: RuleSet,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Rate responses under rules, as `rulekit.judges.Rater.rate` says.

        Returns
        -------
        As for `Rater.rate`; every wanted rating is there. `report` then tells what the call did,
        `last` holds the ratings with the answer mass of each, those of an interrupted call too.

        Raises
        ------
        ValueError
            If lengths or shapes differ, or a rule has more than `RULE_TOKENS` tokens (a quarter
            of `max_tokens` where that is less).

        Notes
        -----
        With m_a the probability that the next token begins a spelling of answer a, gives
        m_a / Σ m; the sum Σ m is reported as the answer mass. A conversation that is too long
        loses the beginning of its prompt first, then the end of its response; instruction, rule
        and question are never cut.
        """
        start = time.perf_counter()
        wanted = _wanted(mask, len(prompts), len(responses), len(rules))
        talks, cut = self._conversations(prompts, responses)
        asked = self._rules(rules)
        trees, cells = self._trees(talks, asked, wanted)
        tokens_alone = sum(
            len(t.prefix) * len(t.suffixes) + sum(map(len, t.suffixes)) for t in trees
        )
        out = np.full((*wanted.shape, len(ANSWERS)), np.nan, np.float32)
        self.last = Rating(out, np.full(wanted.shape, np.nan, np.float32))
        if trees:
            self._verify(trees)
        for (rows, columns), answers in self._passes(trees, cells):
            out[rows, columns] = answers[:, :3]
            self.last.mass[rows, columns] = answers[:, 3]
        mass = self.last.mass[wanted] if wanted.any() else np.array([np.nan])
        shared = sum(len(t.prefix) + sum(map(len, t.suffixes)) for t in trees)
        self.report = Report(
            len(responses),
            int(wanted.sum()),
            float(mass.mean()),
            float(mass.min()),
            sum(c > 0 for c in cut),
            sum(cut),
            tokens_alone if self.attention == "separate" else shared,
            tokens_alone,
            self.attention,
            time.perf_counter() - start,
        )
        if self.report.answer_mass_mean < 0.5:
            warnings.warn(
                f"the three answers hold {self.report.answer_mass_mean:.1%} of the probability: "
                f"{self.name} would rather say something else",
                stacklevel=2,
            )
        return out

    def score(self, pairs: pl.DataFrame, rules: RuleSet) -> Scores:
        """Scores of pairs; a response that occurs in several pairs is rated once."""
        return score_pairs(self.rate, pairs, rules)

    def _conversations(self, prompts, responses) -> tuple[list[list[list[int]]], list[int]]:
        """Token ids of prompt and response within the limit, and how many tokens each lost."""
        room = self.max_tokens - sum(len(p) for p in self.pieces if isinstance(p, list))
        room -= self._rule_room()
        if room < 2:
            raise ValueError(f"max_tokens {self.max_tokens} leaves no room for a conversation")
        talks, cut = [], []
        for prompt, response in zip(prompts, responses, strict=True):
            p = self._read("prompt", dialogue(prompt))
            r = self._read("response", response)
            lost = max(0, len(p) + len(r) - room)
            kept = max(len(p) - lost, min(len(p), room // 4))  # of the prompt, its end
            if len(r) > room - kept:
                r = r[: room - kept - 1] + r[-1:]  # the last token carries the line break
            talks.append([p[len(p) - kept :], r])
            cut.append(lost)
        return talks, cut

    def _rules(self, rules: RuleSet) -> list[list[int]]:
        asked = [self._read("rule", text) for text in rules.texts]
        for rule, ids in zip(rules, asked, strict=True):
            if len(ids) > (most := self._rule_room()):
                raise ValueError(f"rule {rule.id!r} has {len(ids)} tokens; allowed: up to {most}")
        return asked

    def _read(self, place: str, text: str) -> list[int]:
        return encode(self.tokenizer, text + "\n" * (place in self.closed))

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
        """Run the trees; yield the cells and the answers, (n, 4), pass by pass."""
        from rulekit.judges.local import shared_pass

        if self.attention == "separate":
            for tree, where in zip(trees, cells, strict=True):
                whole = [tree.prefix + s for s in tree.suffixes]
                answers = shared_pass.run_separately(
                    self.model, whole, self.tokens_per_batch, self._answers
                )
                yield where, answers.cpu().numpy()
            return
        for branch, answers in shared_pass.run(
            self.model, trees, self.tokens_per_batch, self._answers, self.attention
        ):
            part = slice(branch.start, branch.stop)
            rows, columns = cells[branch.tree]
            yield (rows[part], columns[part]), answers.cpu().numpy()

    def _answers(self, logits):
        """Logits (n, vocabulary) → P(no), P(irrelevant), P(yes), answer mass: (n, 4)."""
        import torch

        total = logits.logsumexp(-1)
        each = torch.stack([logits[:, self.spellings[a]].logsumexp(-1) for a in ANSWERS], -1)
        mass = (each.logsumexp(-1) - total).exp()
        return torch.cat([each.softmax(-1), mass[:, None]], dim=-1)

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
        budget = self.tokens_per_batch
        try:
            shared = next(shared_pass.run(self.model, [few], 10**9, lambda x: x, self.attention))[1]
        except shared_pass.Unsupported as reason:
            self._fall_back(str(reason))
            return
        whole = [few.prefix + s for s in few.suffixes]
        alone = shared_pass.run_separately(self.model, whole, budget, lambda x: x)
        centred = alone - alone.mean(-1, keepdim=True)
        difference = float(((shared - alone).norm() / centred.norm().clamp(min=1e-12)).cpu())
        self._verified = length
        if not difference <= (_FULL if str(self.model.dtype) == "torch.float32" else _HALF):
            self._fall_back(f"a shared pass changes its logits by {difference:.1%}")

    def _fall_back(self, reason: str) -> None:
        warnings.warn(f"{self.name}: {reason}; rating one pass a rule", stacklevel=4)
        self.attention = "separate"


def _wanted(mask, n_prompts: int, n_responses: int, n_rules: int) -> np.ndarray:
    if n_prompts != n_responses:
        raise ValueError(f"{n_prompts} prompts and {n_responses} responses; allowed: as many")
    if mask is None:
        return np.ones((n_responses, n_rules), bool)
    mask = np.asarray(mask)
    if mask.shape != (n_responses, n_rules) or mask.dtype != bool:
        raise ValueError(
            f"mask is {mask.dtype} {mask.shape}; allowed: bool ({n_responses}, {n_rules})"
        )
    return mask


def _folder_digest(folder: Path) -> str:
    """Digest of a model folder's files, weights included, wherever the folder lies.

    That of a large file is kept under its path, size and time: reading 140 GB takes minutes.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".json"))
    return sha256("\n".join(f"{p.name} {_kept_digest(p)}" for p in files))[:16]


def _kept_digest(path: Path) -> str:
    status = path.stat()
    if status.st_size < 2**26:
        return sha256_file(path)
    key = sha256(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")
    kept = cache_folder("digests") / key
    if not kept.is_file():
        digest = sha256_file(path)
        write_atomically(kept, lambda p: p.write_text(digest, encoding="ascii"))
    return kept.read_text(encoding="ascii")
