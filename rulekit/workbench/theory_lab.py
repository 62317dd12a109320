"""The theory lab as data: a world and a k come in, curves, what breaks and a picture go out.

`theory_lab_widget` has its controls. Every selector is run on pairs drawn from the world; the same
random numbers serve every state, so that a curve moves only because of what was moved.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import polars as pl

from rulekit import plots, studies
from rulekit.tables import table, text_html
from rulekit.theory import World

N_PAIRS, N_REFERENCE = 1500, 600  # as many as leave a move below a tenth of a second


@dataclass(frozen=True)
class TheoryState:
    """What is chosen in the theory lab.

    Attributes
    ----------
    accuracy, spread, correlation, noise, loudness, n_reversed, n_rules
        As `rulekit.theory.World` has them.
    k
        Rules kept, 1 to n_rules.
    labelled
        Labelled pairs that the estimates of rules are made of, 0 to 600.
    selectors
        Which curves are drawn: five or fewer of `rulekit.studies.selectors_that_compare`, with
        ``max_discrepancy`` and ``log_odds, known`` among them.
    seed
        Of the random numbers.

    Raises
    ------
    ValueError
        For a value out of its range.
    """

    accuracy: float = 0.62
    spread: float = 0.04
    correlation: float = 0.0
    noise: float = 0.0
    loudness: float = 0.0
    n_reversed: int = 0
    n_rules: int = 20
    k: int = 5
    labelled: int = 100
    selectors: tuple[str, ...] = studies.BY_K
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k not in range(1, self.n_rules + 1):
            raise ValueError(f"k is {self.k!r}; allowed: 1 to n_rules, {self.n_rules}")
        if self.labelled not in range(N_REFERENCE + 1):
            raise ValueError(f"labelled is {self.labelled!r}; allowed: 0 to {N_REFERENCE}")
        object.__setattr__(self, "selectors", tuple(self.selectors))
        needed = {studies.BY_K[0], studies.BY_K[-1]}
        known = set(studies.selectors_that_compare())
        if not needed <= set(self.selectors) <= known or len(self.selectors) > 5:
            raise ValueError(
                f"selectors: {', '.join(self.selectors)}; allowed: five or fewer of "
                f"{', '.join(sorted(known))}, with {' and '.join(sorted(needed))}"
            )
        _ = self.world

    @property
    def world(self) -> World:
        """The world of these numbers."""
        return World(**{f.name: getattr(self, f.name) for f in fields(World)})


def theory_data(state: TheoryState) -> dict[str, object]:
    """What follows from a state.

    Parameters
    ----------
    state
        What is chosen.

    Returns
    -------
    ``curves`` from `rulekit.studies.selectors_by_k`, ``breaks`` from `where_assumptions_break`,
    ``assumptions`` from `assumptions_of`, and in words ``title`` and ``findings``.
    """
    curves, breaks = _curves(state.world, state.labelled, state.selectors, state.seed)
    return {
        "curves": curves,
        "breaks": breaks,
        "assumptions": studies.assumptions_of(state.world, state.seed),
        "title": studies.world_title(state.world, state.seed),
        "findings": studies.world_findings(curves, breaks, state.k),
    }


def theory_picture(state: TheoryState) -> list[object]:
    """The same for a page without a kernel: a chart, a table and a sentence."""
    from IPython.display import HTML

    data = theory_data(state)
    chart = plots.selectors_by_k(data["curves"], data["breaks"], data["title"], state.k)
    return [chart, theory_table(state), HTML(f"<p>{text_html(data['findings'])}</p>")]


def theory_table(state: TheoryState):
    """Which assumptions hold in the world of a state, and why."""
    found = studies.assumptions_of(state.world, state.seed)
    title = "Assumptions of the maximum-discrepancy theorem"
    return table(found, title, mark=~pl.col("holds"))


@lru_cache(maxsize=4)
def _curves(world: World, labelled: int, selectors: tuple[str, ...], seed: int):
    """Curves and what breaks: the same for every k."""
    curves = studies.selectors_by_k(
        world, labelled, selectors, n_pairs=N_PAIRS, n_reference=N_REFERENCE, seed=seed
    )
    return curves, studies.where_assumptions_break(curves, world, seed)
