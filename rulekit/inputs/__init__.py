"""What comes in: rules, pairs of responses, their scores, and the data sets that bring them.

Files and names come in; checked `RuleSet`s, frames of pairs and `Scores` go out. Open `pairs`
first; `sources` has the named data sets, `readers` and `labelled_responses` the files of one's own.
"""

from rulekit.inputs import sources
from rulekit.inputs.identity import Identity
from rulekit.inputs.labelled_responses import n_prompts, read_labelled
from rulekit.inputs.pairs import (
    COLUMNS,
    check_pairs,
    conversation,
    dialogue,
    folds,
    messages,
    prompt_groups,
    prompt_text,
    split_pairs,
)
from rulekit.inputs.readers import read_pairs
from rulekit.inputs.rules import Rule, RuleSet, numbered_ids
from rulekit.inputs.scores import NO_VOTE, Scores, votes
from rulekit.inputs.sources import Labelled, load_pairs

__all__ = [
    "COLUMNS",
    "NO_VOTE",
    "Identity",
    "Labelled",
    "Rule",
    "RuleSet",
    "Scores",
    "check_pairs",
    "conversation",
    "dialogue",
    "folds",
    "load_pairs",
    "messages",
    "n_prompts",
    "numbered_ids",
    "prompt_groups",
    "prompt_text",
    "read_labelled",
    "read_pairs",
    "sources",
    "split_pairs",
    "votes",
]
