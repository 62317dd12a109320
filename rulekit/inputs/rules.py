"""Rule sets: a YAML file or a list of texts comes in, an immutable `RuleSet` goes out.

A rule is an absolute statement that a single response satisfies or violates. Judges rate
responses under rules; selectors and label models only see their positions in the set.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from rulekit.files import resource, sha256, write_atomically
from rulekit.inputs.identity import hash_of
from rulekit.tables import SHOWN, html_table

# A pointwise judge cannot say whether one response is the best of those it never saw.
_SUPERLATIVE = re.compile(
    r"(?<!at )\b(best|better|worst|worse|most|least|(more|less) \w+ than"
    r"|(clear|fair|few|great|high|kind|low|safe|short|strong|weak)e?(r|st))\b",
    re.IGNORECASE,
)
_FIELDS = {"id", "text", "category", "weight", "examples"}
_NAMED = {"embedded": "data/rules.yaml", "openai-rbr": "data/rbr-rules.yaml"}


@dataclass(frozen=True)
class Rule:
    """One rule: `text` is rated, `category` groups, `weight` (sign included) is a prior."""

    id: str
    text: str
    category: str = "uncategorised"
    weight: float = 1.0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuleSet(Sequence[Rule]):
    """An ordered, immutable set of rules with unique ids and unique texts.

    Raises
    ------
    ValueError
        If a rule has no id or text, a weight is not a finite number, or an id or a text
        occurs twice; the message names the rule.
    """

    rules: tuple[Rule, ...]
    provenance: dict = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("a rule set needs at least one rule")
        seen: dict[str, str] = {}
        for number, rule in enumerate(self.rules, start=1):
            where = f"rule {number} ({rule.id!r})"
            for name in ("id", "text", "category"):
                value = getattr(rule, name)
                if isinstance(value, bool | int | float):
                    raise ValueError(
                        f"{where}: {name} is {value!r}, no text to YAML; allowed: quote it, as in "
                        f"{name}: '{_as_written(value)}'"
                    )
                if not isinstance(value, str) or not value.strip():
                    raise ValueError(f"{where}: {name} is {value!r}; allowed: a non-empty string")
            if not isinstance(rule.weight, int | float) or not math.isfinite(rule.weight):
                raise ValueError(f"{where}: weight is {rule.weight!r}; allowed: a finite number")
            for key, kind in ((f"id {rule.id}", "id"), (f"text {_normal(rule.text)}", "text")):
                if key in seen:
                    raise ValueError(f"{where}: its {kind} is already that of {seen[key]}")
                seen[key] = where

    @classmethod
    def load(cls, path: str | Path) -> RuleSet:
        """Read a rule set from YAML: a mapping with a list `rules`, or the list itself.

        Every other key at the top (name, licence, provenance …) is kept as `provenance`.

        Parameters
        ----------
        path
            The file, or the name of a rule set: ``embedded`` (100 rules, the kit's own),
            ``openai-rbr`` (our wording of 23 propositions), ``hh-rule-votes`` (21 rules, read or
            downloaded as `rulekit.sources` says).

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not of that form or a rule has an unknown field.
        """
        if path == "hh-rule-votes":
            return _constitution()
        path = resource(_NAMED[path]) if path in _NAMED else Path(path)
        if not path.is_file():
            names = ", ".join([*_NAMED, "hh-rule-votes"])
            raise FileNotFoundError(
                f"no such file: {path}; allowed: a YAML file, or one of {names}"
            )
        with path.open(encoding="utf-8") as file:
            try:
                content = yaml.safe_load(file)
            except yaml.YAMLError as error:
                raise ValueError(f"{path}: not readable as YAML: {error}") from error
        head = content if isinstance(content, dict) else {"rules": content}
        entries = head.get("rules")
        if not isinstance(entries, list):
            raise ValueError(f"{path}: allowed: a list of rules, or a mapping with a list 'rules'")
        rules = []
        for number, entry in enumerate(entries, start=1):
            if not isinstance(entry, dict) or not {"id", "text"} <= entry.keys() <= _FIELDS:
                raise ValueError(
                    f"{path}: rule {number}: {entry!r:.80}; allowed: a mapping with 'id', 'text' "
                    "and optionally 'category', 'weight', 'examples'"
                )
            rules.append(Rule(**{**entry, "examples": tuple(entry.get("examples") or ())}))
        try:
            return cls(tuple(rules), {k: v for k, v in head.items() if k != "rules"})
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def from_texts(cls, texts: Iterable[str], category: str = "uncategorised") -> RuleSet:
        """Make a rule set from bare texts, with the ids that `numbered_ids` gives."""
        texts = list(texts)
        ids = numbered_ids(len(texts))
        return cls(tuple(Rule(i, t, category) for i, t in zip(ids, texts, strict=True)))

    def save(self, path: str | Path) -> Path:
        """Write the set as YAML that `load` reads back, atomically."""
        rules = [
            {"id": r.id, "text": r.text, "category": r.category}
            | ({"weight": r.weight} if r.weight != 1.0 else {})
            | ({"examples": list(r.examples)} if r.examples else {})
            for r in self.rules
        ]
        text = yaml.safe_dump(
            {**self.provenance, "rules": rules}, sort_keys=False, allow_unicode=True, width=100
        )
        return write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))

    def __repr__(self) -> str:
        n = len(set(self.categories))
        categories = "1 category" if n == 1 else f"{n} categories"
        return f"RuleSet({len(self)} rules in {categories}, hash {self.hash[:8]})"

    def _repr_html_(self) -> str:
        rows = [(rule.id, rule.text, rule.category) for rule in self.rules[:SHOWN]]
        return html_table(repr(self), ("id", "text", "category"), rows, len(self))

    def __len__(self) -> int:
        return len(self.rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __getitem__(self, key: int | str) -> Rule:
        return self.rules[self.index(key) if isinstance(key, str) else key]

    def index(self, rule_id: str) -> int:
        """Position of the rule with this id.

        Raises
        ------
        ValueError
            If there is none.
        """
        try:
            return self.ids.index(rule_id)
        except ValueError:
            raise ValueError(f"no rule {rule_id!r}; the first ids are {self.ids[:5]}") from None

    @property
    def ids(self) -> list[str]:
        return [r.id for r in self.rules]

    @property
    def texts(self) -> list[str]:
        return [r.text for r in self.rules]

    @property
    def categories(self) -> list[str]:
        """The category of each rule, in the order of the rules."""
        return [r.category for r in self.rules]

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each text, in the order of the rules."""
        return [sha256(r.text.encode("utf-8", "surrogatepass")) for r in self.rules]

    @property
    def hash(self) -> str:
        """SHA-256 over the digests of the texts in order: what ratings under these rules belong to."""
        return hash_of(self.digests)

    def superlatives(self) -> dict[str, str]:
        """Rules that compare ("best", "safer than"): id → the word, for a pointwise judge to fail on."""
        found = ((r.id, _SUPERLATIVE.search(r.text)) for r in self.rules)
        return {rule_id: match.group(0) for rule_id, match in found if match}


def numbered_ids(n: int) -> list[str]:
    """Ids of n rules that have no names: r000, r001 and so on."""
    return [f"r{i:03d}" for i in range(n)]


def _as_written(value: bool | float) -> str:
    """What somebody wrote where YAML read a truth value or a number."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _constitution() -> RuleSet:
    """The rules of the data set hh-rule-votes, spacing mended."""
    import polars as pl

    from rulekit.inputs.downloads import VOTE_RULES, obtain

    texts = [
        " ".join(t.split()).replace(" .", ".") for t in pl.read_csv(obtain(VOTE_RULES))["text"]
    ]
    return RuleSet(tuple(Rule(f"ccai-{i:02d}", t, "constitution") for i, t in enumerate(texts)))


def _normal(text: str) -> str:
    return " ".join(text.lower().split())
