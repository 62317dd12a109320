"""Nothing is mixed up in silence: values in another order are put right, values of others refused."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import rulekit as rk

N, M = 60, 12
RULES = rk.RuleSet.from_texts([f"The response keeps promise {j}." for j in range(M)])
OTHERS = rk.RuleSet.from_texts([f"The response keeps promise {j + 5}." for j in range(M)])


def some_pairs(n: int = N) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "pair_id": [f"pair {i}" for i in range(n)],
            "prompt": [f"question {i}" for i in range(n)],
            "response_a": [f"answer {i}" for i in range(n)],
            "response_b": [f"another answer {i}" for i in range(n)],
            "preference": rng.choice([-1, 1], n).astype(np.int8),
        }
    )


PAIRS = some_pairs()


def scores_of(rules=RULES, pairs=PAIRS) -> rk.Scores:
    rng = np.random.default_rng(1)
    quality = rng.uniform(-0.5, 1, M)
    y = pairs["preference"].to_numpy()[:, None]
    a, b = (rng.uniform(-1, 1, (N, M)) * 0.5 + side * y * quality * 0.4 for side in (1, -1))
    relevance = rng.random((N, M))
    identity = rk.Identity.of(rules, pairs)
    return rk.Scores(a.clip(-1, 1), b.clip(-1, 1), relevance, identity=identity)


SCORES = scores_of()
ORDER, ROWS = np.random.default_rng(2).permutation(M), np.random.default_rng(3).permutation(N)
TURNED = SCORES.columns(ORDER)  # rules in another order
MIXED = TURNED.rows(ROWS)  # pairs too
SHUFFLED = PAIRS[ROWS.tolist()]


def margins(labels: rk.Labels) -> np.ndarray:
    """In the order of PAIRS, whatever that of the labels."""
    return labels.aligned(PAIRS).margin


BELIEVED = rk.estimate(SCORES, PAIRS)
CHOSEN = rk.select(SCORES, 4)


def static(scores, reference, preference):
    return rk.label(
        scores, rk.select(scores, 4, "static", reference=reference, preference=preference)
    )


def weighted(scores, believed):
    return rk.label(
        scores, rk.select(scores, 4, "adaptive", estimates=believed), "weighted", estimates=believed
    )


# what it is → the same made of values in another order
ORDERS = {
    "label: the selection": lambda s: rk.label(s, CHOSEN),
    "label: the scores, of fewer pairs": lambda s: rk.label(s, rk.select(s, 4)),
    "label weighted: the estimates": lambda s: rk.label(s, None, "weighted", estimates=BELIEVED),
    "select adaptive: the estimates": lambda s: weighted(s, BELIEVED),
    "select static: the reference": lambda s: static(s, SCORES, PAIRS),
    "select static: the preferences of the reference": lambda s: static(SCORES, s, PAIRS),
    "estimate: the preferences": lambda s: weighted(SCORES, rk.estimate(s, PAIRS)),
}


@pytest.mark.parametrize("case", ORDERS)
@pytest.mark.parametrize(
    "other", [TURNED, SCORES.rows(ROWS), MIXED], ids=["rules", "pairs", "both"]
)
def test_another_order_of_rules_or_pairs_changes_nothing(case, other):
    expected, found = margins(ORDERS[case](SCORES)), margins(ORDERS[case](other))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


FOREIGN = scores_of(OTHERS)
STRANGERS = scores_of(pairs=PAIRS.with_columns(pair_id="stranger " + pl.col("pair_id")))
RENAMED = rk.RuleSet(tuple(replace(r, text=t) for r, t in zip(RULES, OTHERS.texts, strict=True)))

REFUSED = {
    "label: a selection of other rules": lambda: rk.label(scores_of(RENAMED), CHOSEN),
    "label: a selection of other pairs": lambda: rk.label(STRANGERS, CHOSEN),
    "label: a selection of fewer rules": lambda: rk.label(SCORES.columns(range(6)), CHOSEN),
    "label: estimates of other rules": lambda: rk.label(
        scores_of(RENAMED), None, "weighted", estimates=BELIEVED
    ),
    "select: estimates of other rules": lambda: rk.select(
        scores_of(RENAMED), 4, "adaptive", estimates=BELIEVED
    ),
    "select: a reference of other rules": lambda: static(scores_of(RENAMED), SCORES, PAIRS),
    "select: preferences of other pairs": lambda: static(SCORES, STRANGERS, PAIRS),
    "estimate: preferences of other pairs": lambda: rk.estimate(STRANGERS, PAIRS),
    "sign_audit: preferences of other pairs": lambda: rk.sign_audit(STRANGERS, PAIRS),
    "accuracy: labels of other pairs": lambda: rk.accuracy(rk.label(STRANGERS), PAIRS),
    "studies: scores of other pairs": lambda: rk.studies.selection_table(PAIRS, STRANGERS, 4),
    "studies: an order of other rules": lambda: rk.studies.cost_curve(
        scores_of(RENAMED), {"named": CHOSEN}, PAIRS["preference"]
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_of_other_rules_or_pairs_are_refused_by_name(case):
    with pytest.raises(ValueError, match=r"(rule|pair) '.*(allowed|other)|\d+ rules; allowed"):
        REFUSED[case]()


def test_rules_of_other_ids_and_texts_are_refused_by_their_texts():
    """`from_texts` numbers any rules alike: r000 of one set is not r000 of another."""
    assert FOREIGN.rule_ids == SCORES.rule_ids
    with pytest.raises(ValueError, match="rule 'r000' has another text"):
        rk.label(FOREIGN, CHOSEN)


def test_shuffled_pairs_give_the_same_table():
    table, shuffled = (rk.studies.selection_table(p, SCORES, 4) for p in (PAIRS, SHUFFLED))
    fixed = pl.col("name").is_in(["all", "max_discrepancy", "relevance_discrepancy"])
    columns = ("name", "value", "ties")
    assert table.filter(fixed).select(columns).equals(shuffled.filter(fixed).select(columns))


def test_accuracy_finds_the_pair_of_each_label():
    labels = rk.label(SCORES, CHOSEN)
    value = rk.accuracy(labels, PAIRS).value
    assert value > 0.8
    assert rk.accuracy(labels, SHUFFLED).value == value


def test_a_hash_of_rules_tells_any_two_sets_apart():
    sets = [["a\nb", "c"], ["a", "b\nc"], ["a", "b", "c"], ["c", "b", "a"], ["abc"], ["a", "bc"]]
    assert len({rk.RuleSet.from_texts(texts).hash for texts in sets}) == len(sets)
    assert SCORES.identity.rules_hash == RULES.hash
    assert TURNED.identity.rules_hash == rk.RuleSet(tuple(RULES[int(j)] for j in ORDER)).hash


def test_rows_of_a_selection_keep_what_it_is():
    fixed = rk.select(SCORES, 3, "frugal", estimates=BELIEVED, reference=SCORES)
    assert fixed.fixed
    part = fixed.rows(ROWS[:10])
    assert part.fixed
    assert part.method == fixed.method
    assert part.identity.pair_ids == tuple(SHUFFLED["pair_id"][:10])
    assert np.array_equal(part.indices, fixed.indices[ROWS[:10]])
    whole = rk.label(SCORES, fixed, "weighted", estimates=BELIEVED)
    some = rk.label(SCORES.rows(ROWS[:10]), fixed, "weighted", estimates=BELIEVED)
    np.testing.assert_array_equal(some.margin, whole.margin[ROWS[:10]])


def test_the_identity_outlives_a_file(tmp_path):
    MIXED.write(tmp_path / "s.parquet")
    back = rk.Scores.read(tmp_path / "s.parquet")
    assert back.identity == MIXED.identity
    assert [b.identity.pair_ids for b in rk.Scores.batches(tmp_path / "s.parquet", 25)] == [
        MIXED.pair_ids[i : i + 25] for i in range(0, N, 25)
    ]
    labels = rk.label(MIXED, rk.select(MIXED, 4), tie="drop")
    labels.write(tmp_path / "l.parquet")
    read = rk.Labels.read(tmp_path / "l.parquet")
    assert read.identity == labels.identity
    assert read.tie == "drop"
    for name in ("margin", "preference", "confidence", "target"):
        np.testing.assert_array_equal(getattr(read, name), getattr(labels, name))
    with pytest.raises(ValueError, match=r"not written by Labels\.write"):
        rk.Labels.read(tmp_path / "s.parquet")


def test_ids_with_line_breaks_stay_apart_in_a_file(tmp_path):
    scores = rk.Scores(np.zeros((1, 2)), np.ones((1, 2)), rule_ids=["a\nb", "c"])
    scores.write(tmp_path / "s.parquet")
    assert rk.Scores.read(tmp_path / "s.parquet").rule_ids == ("a\nb", "c")


def test_labels_of_dropped_ties_leave_their_pairs_without_a_target():
    tied = rk.Scores(
        np.vstack([SCORES.a[:3], SCORES.b[3:4]]),
        np.vstack([SCORES.b[:3], SCORES.b[3:4]]),
        identity=SCORES.identity.rows(slice(4)),
    )
    labels = rk.label(tied, tie="drop")
    assert len(labels.margin) == 3
    every = labels.aligned(PAIRS[[3, 2, 1, 0]])
    assert np.isnan(every.target).tolist() == [True, False, False, False]
    assert every.margin.tolist() == [0.0, *labels.margin[::-1]]


RATED = CHOSEN.mask()


def where_rated(values: np.ndarray) -> np.ndarray:
    return np.where(RATED, values, np.nan)


class TestPartOfTheRules:
    """Scores of which some were never rated: NaN says so, and what needs all of them refuses."""

    part = rk.Scores(
        where_rated(SCORES.a),
        where_rated(SCORES.b),
        where_rated(SCORES.relevance),
        identity=SCORES.identity,
        rated=RATED,
    )

    @pytest.mark.parametrize("method", ["sum", "majority", "weighted"])
    def test_a_label_takes_every_rated_rule_by_default(self, method):
        given = {"estimates": BELIEVED} if method == "weighted" else {}
        own = rk.label(self.part, method=method, **given)
        np.testing.assert_allclose(own.margin, rk.label(SCORES, CHOSEN, method, **given).margin)

    def test_all_rules_speak_by_default_where_all_are_rated(self):
        every = rk.label(SCORES, rk.select(SCORES, method="all"))
        np.testing.assert_array_equal(rk.label(SCORES).margin, every.margin)

    def test_what_compares_all_rules_refuses_and_says_what_is_not_rated(self):
        for use in (
            lambda: rk.select(self.part, 2),
            lambda: rk.estimate(self.part),
            lambda: rk.sign_audit(self.part, PAIRS),
            lambda: rk.label(self.part, rk.select(SCORES, 5)),
        ):
            with pytest.raises(ValueError, match=r"rated .*row 0|row 0: rule r\d+ was not rated"):
                use()

    def test_a_file_keeps_what_was_not_rated(self, tmp_path):
        self.part.write(tmp_path / "s.parquet")
        back = rk.Scores.read(tmp_path / "s.parquet")
        assert np.array_equal(back.rated, RATED)
        assert np.array_equal(back.n_rated, np.full(N, 4))
        assert "33.3% rated" in repr(back)

    def test_numbers_where_nothing_was_rated_are_refused_and_gaps_where_it_was(self):
        with pytest.raises(ValueError, match="allowed: NaN there"):
            rk.Scores(SCORES.a, SCORES.b, rated=RATED)
        with pytest.raises(ValueError, match=r"a, row 0, rule \d+ is nan"):
            rk.Scores(self.part.a, self.part.b)
