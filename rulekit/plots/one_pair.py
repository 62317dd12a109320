"""One pair on its way through the method, and the pairs beside it: frames come in, charts go out."""

from __future__ import annotations

import altair as alt
import polars as pl

from rulekit.plots.looks import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    WIDTH,
    heading,
    key,
    prepared,
    rows,
    said,
)

_PALE = "#EEF0F3"
_SAYS = {"for A": BLUE, "the same of both": _PALE, "for B": ORANGE}


def pair_walk(frame: pl.DataFrame, title: str, label: str) -> alt.LayerChart:
    """The whole method on one pair: rules, what the judge says of A and B, δ, what is chosen, the label.

    Parameters
    ----------
    frame
        Columns rule, a, b in [-1, 1], discrepancy in [-2, 2], chosen, as `studies.pair_steps` gives
        them.
    title
        The finding.
    label
        What the chosen rules add up to, such as ``sum −3 → B``.
    """
    frame = prepared(frame)
    steps = ("2. judge on A", "2. judge on B", "3. δ = A − B", "4. loudest kept", "5. add up")
    names, cells = [f"1. {rule}" for rule in frame["rule"]], []
    for name, row in zip(names, frame.iter_rows(named=True), strict=True):
        kept = "kept" if row["chosen"] else "dropped"
        delta = row["discrepancy"]
        cells += [
            (name, steps[0], _verdict(row["a"]), "judge"),
            (name, steps[1], _verdict(row["b"]), "judge"),
            (name, steps[2], _signed(delta), _side(delta)),
            (name, steps[3], kept, _side(delta) if row["chosen"] else "nothing"),
        ]
    cells.append((names[len(names) // 2], steps[4], label, "label"))
    drawn = pl.DataFrame(cells, schema=["rule", "step", "text", "kind"], orient="row")
    kinds = {"judge": _PALE, "for A": BLUE, "for B": ORANGE, "nothing": "white", "label": BLACK}
    shade = alt.Scale(domain=list(kinds), range=list(kinds.values()))
    base = alt.Chart(drawn).encode(
        x=alt.X(
            "step:N",
            sort=list(steps),
            title=None,
            axis=alt.Axis(orient="top", labelAngle=0, ticks=False, domain=False),
        ),
        y=alt.Y(
            "rule:N",
            sort=names,
            title=None,
            axis=alt.Axis(labelLimit=230, ticks=False, domain=False),
        ),
    )
    boxes = base.mark_rect(stroke="white", strokeWidth=3).encode(
        fill=alt.Fill("kind:N", scale=shade, legend=None)
    )
    dark = "datum.kind == 'judge' || datum.kind == 'nothing'"
    text = base.mark_text(fontSize=12).encode(
        text="text:N", color=alt.condition(dark, alt.value(BLACK), alt.value("white"))
    )
    return (boxes + text).properties(
        title=heading(title, 640),
        description=f"δ by rule: {said(frame, 'rule', 'discrepancy', '+.2f')}. {label}.",
        width=104 * len(steps),
        height=34 * len(names),
        view=alt.ViewBackground(stroke=None),
    )


def _verdict(score: float) -> str:
    words = {1.0: "keeps it", -1.0: "breaks it", 0.0: "does not apply"}
    return words.get(round(score, 6), _signed(score))


def _signed(value: float) -> str:
    return "0" if abs(value) < 0.005 else f"{value:+.3g}".replace("-", "−")


def _side(delta: float) -> str:
    return "nothing" if abs(delta) < 5e-7 else "for A" if delta > 0 else "for B"


def vote_strip(frame: pl.DataFrame, title: str) -> alt.Chart:
    """Pairs by rules: for which response each rule speaks.

    Parameters
    ----------
    frame
        Columns pair, rule and says, as `studies.vote_cells` gives them; both in the order in which
        they come.
    title
        The finding.
    """
    frame = prepared(frame)
    pairs, rules = (frame[c].unique(maintain_order=True).to_list() for c in ("pair", "rule"))
    counts = frame["says"].value_counts()
    told = ", ".join(f"{r['count']} {r['says']}" for r in counts.sort("says").iter_rows(named=True))
    return (
        alt.Chart(frame)
        .mark_rect(stroke="white", strokeWidth=2)
        .encode(
            x=alt.X(
                "rule:N",
                sort=rules,
                title="rules",
                axis=alt.Axis(orient="top", labelAngle=-40, labelLimit=170, ticks=False),
            ),
            y=alt.Y(
                "pair:N", sort=pairs, title="pairs", axis=alt.Axis(labelLimit=170, ticks=False)
            ),
            color=alt.Color(
                "says:N",
                scale=alt.Scale(domain=list(_SAYS), range=list(_SAYS.values())),
                legend=alt.Legend(title="a rule speaks", orient="bottom"),
            ),
        )
        .properties(
            title=heading(title, 560),
            description=f"{len(pairs)} pairs by {len(rules)} rules: {told}.",
            width=32 * len(rules),
            height=26 * len(pairs),
        )
    )


def two_judges(frame: pl.DataFrame, title: str, first: str, second: str) -> alt.LayerChart:
    """What two judges say of one pair, rule by rule: two points a row, joined where they differ.

    The judges are dark and purple: blue and orange are the two responses elsewhere.

    Parameters
    ----------
    frame
        Columns rule, first and second, discrepancies in [-2, 2], as `studies.second_opinion` gives
        them.
    title
        The finding.
    first, second
        Names of the judges.
    """
    frame, y, height = rows(prepared(frame), "rule", 26)
    scale = alt.Scale(domain=[-2.1, 2.1], nice=False)
    x_title = "← for B  ·  δ = score of A − score of B  ·  for A →"
    kinds = alt.Scale(domain=[first, second], range=[BLACK, PURPLE])
    shapes = alt.Scale(domain=[first, second], range=["circle", "square"])
    long = frame.rename({"first": first, "second": second}).unpivot(
        [first, second], index="row_name", variable_name="judge", value_name="discrepancy"
    )
    line = (
        alt.Chart(frame)
        .mark_rule(color=GREY)
        .encode(x=alt.X("first:Q", scale=scale, title=x_title), x2="second:Q", y=y)
    )
    points = (
        alt.Chart(long)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=alt.X("discrepancy:Q", scale=scale, title=x_title),
            y=y,
            color=alt.Color("judge:N", scale=kinds, legend=key(1, "circle")),
            shape=alt.Shape("judge:N", scale=shapes, legend=key(1, "circle")),
        )
    )
    zero = alt.Chart(pl.DataFrame({"x": [0]})).mark_rule(color=BLACK).encode(x="x:Q")
    return (zero + line + points).properties(
        title=heading(title),
        description=f"δ by {first}: {said(frame, 'rule', 'first', '+.2f')}; by {second}: "
        f"{said(frame, 'rule', 'second', '+.2f')}.",
        width=WIDTH,
        height=height,
    )


def label_by_order(frame: pl.DataFrame, title: str) -> alt.Chart:
    """How often each label comes out over all orders of equally loud rules: a bar a k.

    Parameters
    ----------
    frame
        Columns k, label (A, tie, B) and share, as `studies.label_by_order` gives them.
    title
        The finding.
    """
    kinds = alt.Scale(domain=["A", "tie", "B"], range=[BLUE, "#C9CDD4", ORANGE])
    ranks = {"A": 0, "tie": 1, "B": 2}
    frame = frame.with_columns(rank=pl.col("label").replace_strict(ranks, return_dtype=pl.Int64))
    told = "; ".join(
        f"k = {r['k']}: {r['label']} {r['share']:.0%}"
        for r in frame.filter(pl.col("share") > 0).iter_rows(named=True)
    )
    return (
        alt.Chart(frame)
        .mark_bar(height={"band": 0.7})
        .encode(
            x=alt.X(
                "share:Q",
                title="share of the orders of the rules",
                axis=alt.Axis(format="%", tickCount=5),
                scale=alt.Scale(domain=[0, 1]),
            ),
            y=alt.Y("k:O", title="rules kept, k"),
            color=alt.Color("label:N", scale=kinds, legend=key(3, "square")),
            order=alt.Order("rank:Q"),
        )
        .properties(
            title=heading(title), description=f"Labels by k: {told}.", width=WIDTH, height=160
        )
    )
