"""What texts from outside may not do to a prompt: end its turn, close its tags, or be no text.

Prompts, responses and rules come in; what may stand in a prompt goes out, and which cells can be
asked about. `prompts` says which marks a template has of its own; `server` and `local` call this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping, Sequence

import numpy as np

from rulekit.inputs.pairs import dialogue, lone_surrogate
from rulekit.inputs.rules import RuleSet

# What the chat templates of known families begin and end turns and texts with: as patterns, for a
# server's tokenizer is not known. Reasoning and tool tags are left out, since they end no turn.
FAMILIES = {
    # ChatML (Qwen, SmolLM, Yi, Hermes), Llama 3 and 4, Phi, Gemma 4, GPT-OSS, Cohere, GLM, Granite,
    # OLMo, Falcon, Kimi, StableLM; with full-width bars DeepSeek and Hunyuan
    "bars": r"<[|｜][^\s<>|｜&]{1,64}[|｜]?>|<[^\s<>|｜&]{1,64}[|｜]>",
    "EXAONE": r"\[\|[^\s\[\]|&]{1,64}\|\]",
    "Llama 2, Mistral": r"</?s>|<unk>|\[/?INST\]|<</?SYS>>"
    r"|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|MODEL_SETTINGS)\]"
    r"|\[(?:TOOL_CALLS|TOOL_CONTENT|ARGS|CALL_ID)\]",
    "Gemma": r"<(?:bos|eos|pad|start_of_turn|end_of_turn)>|<unused\d+>",
    "Cohere": r"<(?:BOS|EOS|EOP)_TOKEN>",
    "GLM, InternLM": r"\[[gs]?MASK\]|<(?:sop|eop|eoh|eoa)>",
    "Baichuan, Nemotron": r"<(?:reserved_|extra_id_|SPECIAL_)\d+>",
    "Seed, Ling": r"<seed:[a-z_]{1,32}>|</?role>",
    "MiniMax": r"\]~!?b[\[\]]|\[e~\[",
}
_ANY = re.compile("|".join(FAMILIES.values()))
_LINE = r"(?<![^\n\r\v\f\x85\u2028\u2029])[^\S\n]*"  # where a line begins


def tags(*names: str) -> str:
    """Pattern of tags of these names, opening and closing, in any case."""
    return rf"(?i:<\s*/?\s*(?:{'|'.join(names)})(?:\s[^<>]{{0,64}})?>)"


def heading(label: str) -> str:
    """Pattern of a label at the beginning of a line, in any case; an empty label has none."""
    words = [re.escape(word) for word in label.split()]
    return _LINE + "(?i:" + r"\s+".join(words) + ")" if words else ""


def markers_of(tokenizer, split: bool = False) -> list[str]:
    """Patterns of a tokenizer's own markers.

    Parameters
    ----------
    tokenizer
        Of transformers.
    split
        Leave out what the tokenizer reads as plain text by `split_special_tokens`.

    Returns
    -------
    Its special tokens, and what else its chat template marks turns with: that may be plain text
    to it, such as ``[INST]`` of Llama 2.
    """
    added = tokenizer.added_tokens_decoder.values()
    special = {token.content.strip() for token in added if token.special}
    written = str(tokenizer.chat_template or "")
    others = {token.content.strip() for token in added if not token.special}
    found = {m for m in others if len(m) > 2 and (m in written or _ANY.fullmatch(m))}
    found |= {match.group() for match in _ANY.finditer(written)}
    chosen = found - special if split else found | special
    return [re.escape(m) for m in sorted(chosen, key=lambda m: (-len(m), m)) if m]


def compiled(*patterns: str) -> re.Pattern:
    """All patterns that are not empty as one; the first that fits counts."""
    return re.compile("|".join(filter(None, patterns)) or r"(?!)")


def plain(text: str, marks: re.Pattern) -> str:
    """A text as it may stand in a prompt.

    Parameters
    ----------
    text
        From outside.
    marks
        What must not stand in it.

    Returns
    -------
    The text without outer white space, which some tokenizers join with the line breaks around it
    and some chat templates cut. Of each mark the first sign that is no letter is written as HTML
    writes it, as in ``&lt;|im_end|>``: whoever reads it can tell what was there, and no tokenizer
    makes a special token of it.
    """
    return marks.sub(_spelt, text.strip())


def _spelt(match: re.Match) -> str:
    text = match.group()
    at = next((i for i, c in enumerate(text) if not (c.isalnum() or c.isspace())), None)
    at = len(text) - len(text.lstrip()) if at is None else at
    sign = "&lt;" if text[at] == "<" else f"&#{ord(text[at])};"
    return text[:at] + sign + text[at + 1 :]


def askable(
    prompts: Sequence[str | list[dict]],
    responses: Sequence[str],
    rules: RuleSet,
    wanted: np.ndarray,
    failures: MutableMapping[tuple[int, int], str],
) -> np.ndarray:
    """Which wanted cells can be asked about, bool (n_responses, n_rules).

    Parameters
    ----------
    prompts, responses, rules
        As for `rulekit.judges.Judge.rate`.
    wanted
        Cells, bool (n_responses, n_rules).
    failures
        Of the rating: gets the other cells, with the reason.
    """
    cells = wanted.copy()
    for (where, what), told in _faults(prompts, responses, rules, wanted):
        lost = np.zeros_like(cells)
        lost[where] = True
        for i, j in np.argwhere(cells & lost).tolist():
            failures[i, j] = f"the {what} {told}"
        cells &= ~lost
    return cells


def _faults(prompts, responses, rules, wanted) -> Iterator[tuple[tuple[object, str], str]]:
    """Rows and columns whose texts no request can hold, which text it is, and why."""
    for i in np.flatnonzero(wanted.any(axis=1)).tolist():
        for what, text in (("prompt", dialogue(prompts[i])), ("response", responses[i])):
            if told := lone_surrogate(text):
                yield (i, what), told
    for j, rule in enumerate(rules):
        if told := lone_surrogate(rule.text):
            yield ((slice(None), j), f"rule {rule.id!r}"), told
