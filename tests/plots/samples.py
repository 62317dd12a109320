"""Every chart of the kit, drawn of made-up figures."""

import numpy as np
import polars as pl

from rulekit import plots

RULES = [f"rule-{i}" for i in range(6)]
PAIRS = ["first", "second", "third"]


def shares(names) -> pl.DataFrame:
    values = np.linspace(0.5, 0.7, len(names))
    return pl.DataFrame(
        {"name": names, "value": values, "low": values - 0.05, "high": values + 0.05}
    )


def lines(names=("one", "two"), interval: bool = True) -> pl.DataFrame:
    x = np.linspace(0.5, 1, 6)
    frame = pl.concat(
        pl.DataFrame({"series": [name] * 6, "x": x, "y": x, "low": x - 0.1, "high": x + 0.1})
        for name in names
    )
    return frame if interval else frame.drop("low", "high")


def cells(rules=RULES, pairs=PAIRS) -> tuple[pl.DataFrame, pl.DataFrame]:
    d = np.random.default_rng(0).uniform(-2, 2, (len(pairs), len(rules))).round(1)
    rows = [
        {"pair": p, "rule": r, "discrepancy": d[i, j], "chosen": (i + j) % 3 == 0}
        for i, p in enumerate(pairs)
        for j, r in enumerate(rules)
    ]
    sides = {"pair": pairs, "label": ["A", "B", "–"], "known": ["A", "A", "B"]}
    return pl.DataFrame(rows), pl.DataFrame(sides)


def every_chart(names=("one", "two", "three"), title="A finding") -> dict:
    """Charts by the name of their function; `names` stand wherever a name is shown."""
    names = list(names)
    many = shares(names)
    long = pl.DataFrame(
        [
            {"panel": "p", "series": s, "n": n, "bias": i / n, "error": 0.001}
            for i, s in enumerate(names)
            for n in (100, 1000)
        ]
    )
    cost = pl.DataFrame(
        [
            {"order": s, "stop": "all", "cost": c, "value": 0.6, "low": 0.5, "high": 0.7}
            for s in names
            for c in (0.1, 1.0)
        ]
    )
    calibration = pl.DataFrame(
        [
            {"series": s, "predicted": p, "observed": p, "low": p - 0.05, "high": p + 0.05, "n": 9}
            for s in names
            for p in (0.2, 0.8)
        ]
    )
    growth = pl.DataFrame(
        [
            {"work": s, "mode": "in memory", "pairs": n, "seconds": n / 1e3, "GB": 0.3}
            for s in names
            for n in (1000, 10_000)
        ]
    )
    regimes = many.rename({"name": "method"}).with_columns(
        regime=pl.lit(names[0]), reference=pl.col("value")
    )
    one_pair = pl.DataFrame(
        {
            "rule": names,
            "discrepancy": [1.5, -1.0, 0.5][: len(names)],
            "chosen": [True, True, False][: len(names)],
        }
    )
    bins = pl.DataFrame({"low": [0.0, 0.1], "high": [0.1, 0.2], "subsets": [3, 5]})
    square = pl.DataFrame({"row": [1, 2, 2], "column": [0, 0, 1], "value": [0.1, 0.2, 0.3]})
    rules = [*names, *RULES][:6]
    by_k = pl.DataFrame(
        [
            {"selector": s, "k": k, "information": k / 9, "accuracy": 0.6}
            for s in names
            for k in (1, 2)
        ]
    )
    breaks = pl.DataFrame(
        {"selector": names[:1], "measure": "accuracy", "k": 1, "value": 0.6, "name": names[:1]}
    )
    panels = pl.DataFrame(
        [
            {"panel": s, "vote": i, "right": i < 7, "flipped": i in (6, 9)}
            for s in names
            for i in range(12)
        ]
    )
    orders = pl.DataFrame({"k": [1] * 3, "label": ["A", "tie", "B"], "share": [0.25, 0.0, 0.75]})
    said = ("for A", "for B", "the same of both")
    votes = pl.DataFrame({"pair": names, "rule": [names[0]] * len(names)}).with_columns(
        says=pl.Series([said[i % 3] for i in range(len(names))])
    )
    return {
        "accuracy": plots.accuracy(many, title),
        "accuracy_against_cost": plots.accuracy_against_cost(cost, title),
        "bias": plots.bias(long, title),
        "calibration_chart": plots.calibration_chart(calibration, title),
        "counts": plots.counts(
            pl.DataFrame({"name": names, "value": range(len(names))}), title, "rules"
        ),
        "curves": plots.curves(lines(names), title, "x", "y"),
        "growth": plots.growth(growth, title),
        "intervals": plots.intervals(many, title, "difference"),
        "judge_quality_chart": plots.judge_quality_chart(
            many.rename({"name": "rule"}).with_columns(reference=0.6), title, "AUC"
        ),
        "label_by_order": plots.label_by_order(orders, title),
        "noisy_copy": plots.noisy_copy(panels, title),
        "pair_rules": plots.pair_rules(one_pair, title),
        "pair_walk": plots.pair_walk(one_pair.with_columns(a=0.5, b=-1.0), title, "−3 → B"),
        "redundancy": plots.redundancy(square, title, 3),
        "regimes": plots.regimes(regimes, title),
        "rule_use": plots.rule_use(
            many.rename({"name": "rule", "value": "coverage"}).with_columns(decisive=0.3), title
        ),
        "run_means": plots.run_means(
            lines(names).rename({"series": "way", "x": "k", "y": "value"}),
            title,
            ["way", "k"],
            "share",
        ),
        "scorecard": plots.scorecard(many.with_columns(source=pl.lit("measured")), title),
        "selection_map": plots.selection_map(*cells(rules), title),
        "selectors_by_k": plots.selectors_by_k(by_k, breaks, title, 2),
        "stacked": plots.stacked(plots.accuracy(many, title), plots.pair_rules(one_pair, title)),
        "subsets": plots.subsets(bins, many.select("name", value=pl.col("value") / 4), title),
        "two_judges": plots.two_judges(
            one_pair.select("rule", first="discrepancy", second=-pl.col("discrepancy")),
            title,
            "one judge",
            "another",
        ),
        "vote_strip": plots.vote_strip(votes, title),
        "worlds": plots.worlds(
            many.rename({"name": "method"}).with_columns(world=pl.lit(names[0])), title
        ),
    }
