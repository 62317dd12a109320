"""Pairs, rules and preferences as a run names them: paths and names come in, checked values go out.

Every notebook of the chain begins here, so that one's own data goes through it as the kit's does;
`ratings` is next.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from rulekit.inputs import RuleSet, load_pairs, prompt_groups, sources

LEAST_KNOWN, LEAST_PROMPTS = 20, 5  # with fewer an accuracy has an interval that says nothing


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a run is about.

    Attributes
    ----------
    pairs
        Canonical frame.
    rules
        n_rules rules.
    notes
        What a reader of the figures has to know, in sentences.
    source
        Name of the data set that the pairs are of; empty for files of one's own.
    """

    pairs: pl.DataFrame
    rules: RuleSet
    notes: tuple[str, ...] = ()
    source: str = ""

    @property
    def known(self) -> pl.DataFrame:
        """The pairs of which it is known that one response is preferred."""
        return self.pairs.filter(pl.col("preference").abs() == 1)

    @property
    def n_known_prompts(self) -> int:
        """Number of prompts among the known pairs; accuracies have as many independent cases."""
        return prompt_groups(self.known).n_unique()

    @property
    def has_known(self) -> bool:
        """Whether accuracy can be measured: from 20 known pairs of 5 prompts on."""
        return len(self.known) >= LEAST_KNOWN and self.n_known_prompts >= LEAST_PROMPTS

    @property
    def has_recorded(self) -> bool:
        """Whether the data set comes with ratings under each of these rules."""
        if self.source not in sources.RATED:
            return False
        return set(self.rules.digests) <= set(RuleSet.load(self.source).digests)


def load_inputs(pairs: str = "embedded", rules: str = "", labels: str = "") -> Inputs:
    """Pairs, rules and known preferences, as the parameters of a notebook name them.

    Parameters
    ----------
    pairs
        Name of a data set, a file, a folder or a glob, as `path` of `rulekit.load_pairs`.
    rules
        A YAML file, a text file with a rule a line, or the name of a rule set; empty: the rules
        of the data set, or else those of the kit.
    labels
        File of known preferences, as `rulekit.inputs.add_preferences` reads it; empty: those that
        the pairs come with.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        For a file that cannot be read: the message names it, the row and what is allowed.
    """
    frame, source = load_pairs(pairs), pairs if pairs in sources.SOURCES else ""
    if labels:
        from rulekit.inputs import add_preferences

        frame = add_preferences(frame, labels)
    own = source in sources.RATED
    found = Inputs(frame, RuleSet.load(rules or (source if own else "embedded")), (), source)
    notes = []
    if not rules and not own:
        notes.append(
            f"No rules were given, so the pairs are rated under the {len(found.rules)} rules of "
            "the kit. Name yours with the parameter `rules`."
        )
    if not found.has_known:
        notes.append(_few_known(found))
    return Inputs(frame, found.rules, tuple(notes), source)


def _few_known(data: Inputs) -> str:
    n = len(data.known)
    said = (
        f"The preferred response is known for {n} of {len(data.pairs):,} pairs, of "
        f"{data.n_known_prompts} prompts"
        if n
        else f"The preferred response is known for none of the {len(data.pairs):,} pairs"
    )
    return (
        f"{said}, so nothing here says how often labels are right. That takes {LEAST_KNOWN} or "
        f"more, of {LEAST_PROMPTS} prompts or more; `rulekit label SCORES --pairs PAIRS --ask` collects them."
    )
