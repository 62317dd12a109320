"""What comes in: rules, pairs of responses, their scores, and the data sets that bring them.

Files and names come in; checked `RuleSet`s, frames of pairs and `Scores` go out. Open `pairs`
first; `sources` has the named data sets, `layouts` what files may look like, `readers` reads them.
"""

from rulekit.inputs import sources
from rulekit.inputs.description import Description, describe
from rulekit.inputs.hand_answers import VERDICTS, agreed_preferences, append_answer, read_answers
from rulekit.inputs.identity import Identity
from rulekit.inputs.known_preferences import add_preferences, carry_over
from rulekit.inputs.labelled_responses import n_prompts, read_labelled
from rulekit.inputs.layouts import LAYOUTS
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
from rulekit.inputs.rule_changes import CHANGES, diff_rules, rule_stats
from rulekit.inputs.rule_checks import REMARKS, check_rules
from rulekit.inputs.rules import Rule, RuleSet, numbered_ids, rule_ids
from rulekit.inputs.scores import NO_VOTE, Scores, votes
from rulekit.inputs.sources import Labelled, load_pairs

__all__ = [
    "CHANGES",
    "COLUMNS",
    "LAYOUTS",
    "NO_VOTE",
    "REMARKS",
    "VERDICTS",
    "Description",
    "Identity",
    "Labelled",
    "Rule",
    "RuleSet",
    "Scores",
    "add_preferences",
    "agreed_preferences",
    "append_answer",
    "carry_over",
    "check_pairs",
    "check_rules",
    "conversation",
    "describe",
    "dialogue",
    "diff_rules",
    "folds",
    "load_pairs",
    "messages",
    "n_prompts",
    "numbered_ids",
    "prompt_groups",
    "prompt_text",
    "read_answers",
    "read_labelled",
    "read_pairs",
    "rule_ids",
    "rule_stats",
    "sources",
    "split_pairs",
    "votes",
]
