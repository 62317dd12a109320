"""Who answered: a model that is exchanged behind its name must not go unnoticed.

The names and fingerprints that a server's replies carry come in; reasons to stop and warnings go
out. The server judge keeps one, and a caller with a store tells it who answered before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

_KINDS = ("model", "fingerprint")


class Answered:
    """Which models, and which fingerprints of the systems around them, have answered a judge.

    A model's name that the store does not know stops the run before anything is rated: the
    ratings would be another model's. A fingerprint changes with every update of a hosted system,
    so that a new one is told once and recorded, as is a name that changes in the middle of a run.
    """

    def __init__(self) -> None:
        self.begin({})

    def begin(self, known: Mapping[str, float]) -> None:
        """Begin a run into a store.

        Parameters
        ----------
        known
            Sums of what `report` gave in other runs, among any others.
        """
        parts = [name.partition(": ") for name in known]
        self._before = {kind: [v for k, _, v in parts if k == kind] for kind in _KINDS}
        self._now: dict[str, list[str]] = {kind: [] for kind in _KINDS}
        self._told: set[str] = set()
        self._unsaid: list[str] = []
        self._unreported: Counter[str] = Counter()

    def heed(self, model: str | None, fingerprint: str | None) -> str:
        """Note who sent a reply; gives the reason if it must not be used, else an empty text."""
        sender = {kind: v for kind, v in zip(_KINDS, (model, fingerprint), strict=True) if v}
        for kind, value in sender.items():
            now, before = self._now[kind], self._before[kind]
            if value in now:
                continue
            if kind == "model" and not now and before and value not in before:
                return (
                    f"the server answers as model {value!r}, and the ratings in the store are of "
                    f"{_listed(before)}; allowed: the same model, or another `revision`, which "
                    "has ratings of its own"
                )
            others = now or ([] if kind == "fingerprint" and value in before else before)
            others = [name for name in others if name != value]
            if others and kind not in self._told:
                self._told.add(kind)
                self._unsaid.append(
                    f"the server answers with {kind} {value!r}, before with {_listed(others)}: "
                    "ratings of both are mixed; another `revision` keeps them apart"
                )
            now.append(value)
        self._unreported.update(f"{kind}: {value}" for kind, value in sender.items())
        return ""

    def report(self) -> dict[str, int]:
        """Replies of each model and fingerprint since the last report, for a store to keep."""
        told, self._unreported = dict(self._unreported), Counter()
        return told

    def warnings(self) -> Iterator[str]:
        """What was not yet said of changes, each once."""
        while self._unsaid:
            yield self._unsaid.pop(0)


def _listed(names: list[str]) -> str:
    return " and ".join([*map(repr, names[:3]), *(["others"] if names[3:] else [])])
