"""One pair after the other put to a person: pairs, scores and a file of answers come in, and go on.

All that is known stands in the file, so that nothing is lost when the program ends; a pair is chosen
by what its answer would teach about the rules. The annotation desk and `rulekit label --ask` show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import sha256
from rulekit.inputs.hand_answers import agreed_preferences, append_answer, read_answers
from rulekit.inputs.pairs import check_pairs, prompt_groups
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.measures import alpha_resampled, bootstrap, cohen_kappa
from rulekit.selection.active import Progress, Questions, ask_order, label_progress

PAIR_KEYS = {"a": "A is better", "b": "B is better", "x": "tie, or cannot tell"}
RATING_KEYS = {"y": "yes", "n": "no", "i": "irrelevant"}
OTHER_KEYS = {"s": "skip", "u": "undo"}
_OVERLAP = 5  # each fifth question is one that others have answered, so that agreement is seen


@dataclass(frozen=True)
class Question:
    """What a person is asked.

    Attributes
    ----------
    row
        Of the pairs.
    pair_id
        Of the pair.
    shown
        ``ab``: response A is the pair's first; ``ba``: A is its second. By chance, since files
        often have the better response first.
    rule
        Row of the rule that response `response` is checked under; None: which response is better.
    response
        ``a`` or ``b``, of the pair as it is in the file; empty where none is checked.
    """

    row: int
    pair_id: str
    shown: str
    rule: int | None = None
    response: str = ""


class Asking:
    """Questions to one person, each answer on the disk before the next one is given.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows; its known preferences are not looked at.
    scores
        Of these pairs: the next pair is then the one that teaches most about the rules; without, it
        is any.
    path
        File of the answers, of `rulekit.inputs.append_answer`; made with the first one.
    person
        Who answers. Others may answer into the same file.
    rules
        Rules of the scores; with `check`, needed.
    check
        Ask whether a response satisfies a rule, in place of which response is better: first what
        the scores lean on most.
    seed
        Of the choice among equals.

    Raises
    ------
    ValueError
        For no name, scores of other pairs, `check` without rules, or a file that holds other things.
    """

    def __init__(
        self,
        pairs: pl.DataFrame,
        scores: Scores | None = None,
        *,
        path: str | Path = "labels.jsonl",
        person: str,
        rules: RuleSet | None = None,
        check: bool = False,
        seed: int = 0,
    ) -> None:
        if not isinstance(person, str) or not person.strip():
            raise ValueError(f"person is {person!r}; allowed: a name")
        if check and rules is None:
            raise ValueError("check needs rules: which is a response to satisfy?")
        self.pairs, self.rules, self.check, self.seed = check_pairs(pairs), rules, check, seed
        self.scores = None if scores is None else scores.of(self.pairs)
        if check and self.scores is not None and self.scores.n_rules != len(rules):
            raise ValueError(
                f"{self.scores.n_rules} scored rules; allowed: {len(rules)}, the rules"
            )
        self.path, self.person = Path(path).expanduser(), person.strip()
        self._row = {name: i for i, name in enumerate(self.pairs["pair_id"])}
        self._group = prompt_groups(self.pairs).to_numpy()
        self._questions: Questions | None = None
        self._read = self._next = None

    @property
    def keys(self) -> dict[str, str]:
        """What each key says."""
        return (RATING_KEYS if self.check else PAIR_KEYS) | OTHER_KEYS

    @property
    def answers(self) -> pl.DataFrame:
        """The answers of all people that stand, to questions of this kind about these pairs."""
        stat = self.path.stat() if self.path.is_file() else None
        stamp = stat and (stat.st_mtime_ns, stat.st_size)
        if self._read is None or self._read[0] != stamp:
            found = read_answers(self.path)
            kind = pl.col("rule_id").is_not_null()
            mine = pl.col("pair_id").is_in(list(self._row))
            self._read = stamp, found.filter(mine & (kind if self.check else ~kind))
        return self._read[1]

    @property
    def own(self) -> pl.DataFrame:
        """Those of this person."""
        return self.answers.filter(pl.col("person") == self.person)

    @property
    def preference(self) -> np.ndarray:
        """What people say together about each pair: +1, -1, NaN not known or as many each, (n_pairs,)."""
        y = np.full(len(self.pairs), np.nan)
        if not self.check:
            for pair_id, value in agreed_preferences(self.answers).items():
                y[self._row[pair_id]] = value or np.nan
        return y

    @property
    def question(self) -> Question | None:
        """What is asked now; None: all has been answered or skipped."""
        done = len(self.own)
        if self._next is None or self._next[0] != done:
            self._next = done, (self._rating(done) if self.check else self._pair(done))
        return self._next[1]

    def answer(self, key: str) -> str:
        """Write the answer to the question that is shown, and go on.

        Parameters
        ----------
        key
            One of `keys`; u takes this person's last answer back and shows its question again.

        Returns
        -------
        What was done, in words.

        Raises
        ------
        ValueError
            For another key, nothing to take back, or no question left.
        """
        if key not in self.keys:
            allowed = ", ".join(f"{k} ({says})" for k, says in self.keys.items())
            raise ValueError(f"key {key!r}; allowed: {allowed}")
        if key == "u":
            return self._undo()
        asked = self.question
        if asked is None:
            raise ValueError("every question has been answered or skipped; allowed: u (undo)")
        about = {"person": self.person, "pair_id": asked.pair_id}
        if self.check:
            about |= {"response": asked.response, "rule_id": self.rules[asked.rule].id}
            append_answer(self.path, {**about, "verdict": RATING_KEYS.get(key)})
        else:
            side = {"a": 1, "b": -1, "x": 0}.get(key)
            if side and asked.shown == "ba":
                side = -side
            append_answer(self.path, {**about, "preference": side, "shown": asked.shown})
        self._next = None
        return f"{asked.pair_id}: {self.keys[key]}"

    def texts(self) -> tuple[object, str, str] | None:
        """Prompt, response A and response B of the question as they are shown."""
        asked = self.question
        if asked is None:
            return None
        row = self.pairs.row(asked.row, named=True)
        a, b = (row["response_a"], row["response_b"])[:: 1 if asked.shown == "ab" else -1]
        return row["prompt"], a, b

    def progress(self) -> Progress | None:
        """What the answers have brought; None without scores, or with `check`."""
        if self.scores is None or self.check:
            return None
        y = self.preference
        if not np.isnan(y).any():
            return None
        return label_progress(self._prepared(), y, seed=self.seed)

    def agreement(self, resamples: int = 500) -> pl.DataFrame:
        """Agreement of the people who answered the same questions, beyond chance.

        Parameters
        ----------
        resamples
            Draws of prompts for the intervals; 0: none.

        Returns
        -------
        Rows ``measure`` (κ of two people, α of all), ``people``, ``n`` questions, ``value``, ``low``,
        ``high`` (95 % over prompts); null where nothing can be said. Skipped questions do not count.
        """
        about = ["pair_id", "response", "rule_id"]
        given = self.answers.with_columns(
            said=pl.coalesce(
                pl.col("preference").cast(pl.Float64),
                pl.col("verdict").replace_strict({"yes": 1.0, "no": -1.0, "irrelevant": 0.0}),
            )
        ).filter(pl.col("said").is_not_null())
        people = given["person"].unique(maintain_order=True).to_list()
        rows = []
        if len(people) > 1:
            wide = given.pivot("person", index=about, values="said", maintain_order=True)
            grades = wide.select(people).to_numpy()
            group = self._group[[self._row[i] for i in wide["pair_id"]]]
            for i, first in enumerate(people):
                for j in range(i):
                    both = ~np.isnan(grades[:, [i, j]]).any(axis=1)
                    value = None
                    if both.any():
                        value = cohen_kappa(grades[both, j], grades[both, i])
                    rows.append(("κ", f"{people[j]}, {first}", int(both.sum()), value, None, None))
            twice = (~np.isnan(grades)).sum(axis=1) > 1
            value = low = high = None
            if twice.any():
                alpha = alpha_resampled(grades[twice], "nominal")
                value = float(alpha(np.ones((1, int(twice.sum()))))[0])
                if resamples and len(set(group[twice])) > 1:
                    ends = bootstrap(alpha, group[twice], resamples=resamples, seed=self.seed)
                    low, high = map(float, ends)
            rows.append(("α", ", ".join(people), int(twice.sum()), value, low, high))
        names = ("measure", "people", "n", "value", "low", "high")
        kinds = (pl.String, pl.String, pl.Int64, pl.Float64, pl.Float64, pl.Float64)
        frame = pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")
        return frame.with_columns(pl.col("value", "low", "high").fill_nan(None))

    def _undo(self) -> str:
        own = self.own
        if own.is_empty():
            raise ValueError("nothing to take back; allowed: undo after an answer")
        last = own.row(-1, named=True)
        append_answer(self.path, {"person": self.person, "undo": last["id"]})
        row, rule = self._row[last["pair_id"]], None
        if self.check:
            rule = [r.id for r in self.rules].index(last["rule_id"])
        asked = Question(
            row, last["pair_id"], self._shown(last["pair_id"]), rule, last["response"] or ""
        )
        self._next = len(self.own), asked
        return f"{last['pair_id']}: taken back"

    def _shown(self, pair_id: str) -> str:
        return "ab" if int(sha256(f"{self.person}\n{pair_id}")[:8], 16) % 2 else "ba"

    def _prepared(self) -> Questions:
        if self._questions is None:
            self._questions = Questions.of(self.scores, seed=self.seed)
        return self._questions

    def _pair(self, done: int) -> Question | None:
        own, answers = set(self.own["pair_id"]), self.answers
        left = [i for name, i in self._row.items() if name not in own]
        if not left:
            return None
        strict = answers.filter(pl.col("preference").is_not_null() & ~pl.col("pair_id").is_in(own))
        shared = sorted({self._row[i] for i in strict["pair_id"]})
        rng = np.random.default_rng((self.seed, done, int(sha256(self.person)[:8], 16)))
        if shared and done % _OVERLAP == _OVERLAP - 1:
            return self._of(int(rng.choice(shared)))
        left = sorted(set(left) - set(shared)) or left
        if self.scores is not None:
            without = np.setdiff1d(np.arange(len(self.pairs)), left)
            how = {"without": without, "groups": self._group, "seed": int(rng.integers(2**31))}
            found = ask_order(self._prepared(), self.preference, 1, **how)
            if len(found):
                return self._of(int(found[0]))
        return self._of(int(rng.choice(left)))

    def _of(self, row: int) -> Question:
        pair_id = self.pairs["pair_id"][row]
        return Question(row, pair_id, self._shown(pair_id))

    def _rating(self, done: int) -> Question | None:
        """The rating that the most depends on: response and rule of the largest |score| first."""
        ids = [rule.id for rule in self.rules]
        own = set(self.own.select("pair_id", "response", "rule_id").iter_rows())
        rng = np.random.default_rng((self.seed, done))
        for row in rng.permutation(len(self.pairs)).tolist():
            pair_id = self.pairs["pair_id"][row]
            order = [(s, j) for s in "ab" for j in rng.permutation(len(ids)).tolist()]
            if self.scores is not None:
                size = {"a": np.abs(self.scores.a[row]), "b": np.abs(self.scores.b[row])}
                order.sort(key=lambda c, size=size: -np.nan_to_num(size[c[0]][c[1]], nan=-1.0))
            for response, j in order[:1] if done < len(self.pairs) else order:
                if (pair_id, response, ids[j]) not in own:
                    return Question(row, pair_id, self._shown(pair_id), j, response)
        return None
