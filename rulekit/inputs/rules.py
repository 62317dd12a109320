"""Rule sets: a YAML file, a file of texts or a list comes in, an immutable `RuleSet` goes out.

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
from rulekit.inputs.rule_wording import comparison
from rulekit.tables import SHOWN, html_table

_FIELDS = {"id", "text", "category", "weight", "examples"}
_SAYS_NOTHING = """
    a an and any are as at be been being by can do does each every for from has have if in is it its
    must of on one or response responses shall should that the their them they this to user users
    was when where which who will with would
"""  # no, not, never and without tell rules apart and stay
_EMPTY_WORDS = frozenset(_SAYS_NOTHING.split())
_ID_WORDS, _ID_LETTERS = 5, 40
_BULLET = re.compile(r"^\s*(?:[-*•–]|\d{1,3}[.)])\s+")
_NAMED = {
    "embedded": "data/rules.yaml",
    "hh-read": "data/rules.yaml",
    "xstest-read": "data/rules.yaml",
    "openai-rbr": "data/rbr-rules.yaml",
}


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
        for place, rule in enumerate(self.rules, start=1):
            where = f"rule {place} ({rule.id!r})"
            for name in ("id", "text", "category"):
                value = getattr(rule, name)
                if isinstance(value, bool | int | float):
                    raise ValueError(
                        f"{where}: {name} is {value!r}, no text to YAML; allowed: quote it, as in "
                        f"{name}: '{_as_written(value)}'"
                    )
                if not isinstance(value, str) or not value.strip():
                    raise ValueError(f"{where}: {name} is {value!r}; allowed: a non-empty string")
            number = isinstance(rule.weight, int | float) and not isinstance(rule.weight, bool)
            if not number or not math.isfinite(rule.weight):
                raise ValueError(f"{where}: weight is {rule.weight!r}; allowed: a finite number")
            for key, kind in ((f"id {rule.id}", "id"), (f"text {_normal(rule.text)}", "text")):
                if key in seen:
                    raise ValueError(f"{where}: its {kind} is already that of {seen[key]}")
                seen[key] = where

    @classmethod
    def load(cls, path: str | Path) -> RuleSet:
        """Read a rule set from YAML, a mapping with a list `rules` or the list itself, or from texts.

        Every other key at the top (name, licence, provenance …) is kept as `provenance`. Of a file
        that ends in ``.txt`` every line is a rule; blank lines and lines that start with # are
        skipped, and the ids are made from the texts by `rule_ids`.

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
        path = resource(_NAMED[path]) if path in _NAMED else Path(path).expanduser()
        if not path.is_file():
            names = ", ".join([*_NAMED, "hh-rule-votes"])
            raise FileNotFoundError(
                f"no such file: {path}; allowed: a YAML file, a text file (.txt) with a rule a line, "
                f"or one of {names}"
            )
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise ValueError(
                f"{path}: not UTF-8 (byte {byte:#x}); allowed: a file in UTF-8"
            ) from None
        try:
            if path.suffix.lower() == ".txt":
                return cls(_rules_of_lines(text))
            head = _parsed_yaml(text)
            rules = [_rule(number, entry) for number, entry in enumerate(head["rules"], start=1)]
            return cls(tuple(rules), {k: v for k, v in head.items() if k != "rules"})
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def from_text(cls, text: str) -> RuleSet:
        """Make a rule set from what somebody wrote or pasted: YAML as `load` reads it, or lines.

        Parameters
        ----------
        text
            A YAML list of rules, or a mapping with one under ``rules``; else a rule a line, where
            blank lines and lines that start with # are skipped, and bullets and numbers before
            a rule are taken away.

        Returns
        -------
        The rules, with their ids of the YAML or those that `rule_ids` makes.

        Raises
        ------
        ValueError
            If there is no rule in it, one occurs twice, or a rule of the YAML is none.
        """
        try:
            head = _parsed_yaml(text)
        except ValueError:
            head = {"rules": []}
        if any(isinstance(entry, dict) and "text" in entry for entry in head["rules"]):
            rules = [_rule(number, entry) for number, entry in enumerate(head["rules"], start=1)]
            return cls(tuple(rules), {k: v for k, v in head.items() if k != "rules"})
        return cls(_rules_of_lines("\n".join(_BULLET.sub("", x) for x in text.split("\n"))))

    @classmethod
    def from_texts(cls, texts: Iterable[str], category: str = "uncategorised") -> RuleSet:
        """Make a rule set from bare texts, with the ids that `numbered_ids` gives."""
        texts = list(texts)
        ids = numbered_ids(len(texts))
        return cls(tuple(Rule(i, t, category) for i, t in zip(ids, texts, strict=True)))

    def as_yaml(self) -> str:
        """The set as YAML text, as `save` writes it."""
        rules = [
            {"id": r.id, "text": r.text, "category": r.category}
            | ({"weight": r.weight} if r.weight != 1.0 else {})
            | ({"examples": list(r.examples)} if r.examples else {})
            for r in self.rules
        ]
        head = {**self.provenance, "rules": rules}
        return yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=100)

    def save(self, path: str | Path) -> Path:
        """Write the set as YAML that `load` reads back, atomically."""
        text = self.as_yaml()
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
        return [_digest(r.text) for r in self.rules]

    @property
    def hash(self) -> str:
        """SHA-256 over the digests of the texts in order: what ratings under these rules belong to."""
        return hash_of(self.digests)

    def superlatives(self) -> dict[str, str]:
        """Rules that compare ("best", "safer than"): id → the words, for a pointwise judge to fail on."""
        return {r.id: words for r in self.rules if (words := comparison(r.text))}


def numbered_ids(n: int) -> list[str]:
    """Ids of n rules that have no names: r000, r001 and so on."""
    return [f"r{i:03d}" for i in range(n)]


def rule_ids(texts: Sequence[str]) -> list[str]:
    """Short ids made from the texts of rules, such as ``names-dose-medicine``.

    An id is made of the first words of its text that carry meaning, so it stays when other rules
    come or go; a text whose words give an id that an earlier one has gets a part of its hash besides.

    Parameters
    ----------
    texts
        n_rules texts, all different.
    """
    ids: list[str] = []
    for text in texts:
        words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())
        words = [re.sub("['’]", "", w) for w in words]
        telling = [w for w in words if w not in _EMPTY_WORDS] or words
        while len(telling) > 1 and len("-".join(telling[:_ID_WORDS])) > _ID_LETTERS:
            telling = telling[: min(len(telling), _ID_WORDS) - 1]
        slug = "-".join(telling[:_ID_WORDS])[:_ID_LETTERS] or "rule"
        try:
            plain = isinstance(yaml.safe_load(slug), str) and slug not in {"y", "n", "rule"}
        except (yaml.YAMLError, ValueError):
            plain = False
        slug = slug if plain else f"rule-{slug}".removesuffix("-rule")
        ids.append(f"{slug}-{_digest(text)[:6]}" if slug in ids or slug == "rule" else slug)
    return ids


def _rules_of_lines(text: str) -> tuple[Rule, ...]:
    """The rules of a text with one a line."""
    line_of: dict[str, int] = {}
    texts = []
    for number, line in enumerate(text.split("\n"), start=1):
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        if _normal(rule) in line_of:
            raise ValueError(
                f"line {number}: its text is already that of line {line_of[_normal(rule)]}; "
                "allowed: every rule once"
            )
        line_of[_normal(rule)] = number
        texts.append(rule)
    return tuple(Rule(i, t) for i, t in zip(rule_ids(texts), texts, strict=True))


def _parsed_yaml(text: str) -> dict:
    """What stands in a YAML file, its list of rules under `rules`."""
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"not readable as YAML: {' '.join(str(error).split())}") from None
    head = content if isinstance(content, dict) else {"rules": content}
    if not isinstance(head.get("rules"), list):
        raise ValueError("allowed: a list of rules, or a mapping with a list 'rules'")
    return head


def _rule(number: int, entry: object) -> Rule:
    if not isinstance(entry, dict) or not {"id", "text"} <= entry.keys() <= _FIELDS:
        raise ValueError(
            f"rule {number}: {entry!r:.80}; allowed: a mapping with 'id', 'text' and optionally "
            "'category', 'weight', 'examples'; bare texts belong into a text file (.txt), one a line"
        )
    examples = entry.get("examples") or []
    if not isinstance(examples, list) or not all(isinstance(e, str) for e in examples):
        raise ValueError(
            f"rule {number} ({entry['id']!r}): examples is {examples!r:.60}; allowed: a list of texts"
        )
    return Rule(**{**entry, "examples": tuple(examples)})


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


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass"))
