"""The rule explorer without a front end: its table, its switches, and what they change."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.information import effective_rules, rule_information
from rulekit.workbench.rule_explorer import RuleState, RuleTable


@pytest.fixture(scope="module")
def tool(rated):
    pairs, rules, scores = rated
    return rk.workbench.rules(pairs, scores, rules)


@pytest.fixture(scope="module")
def table(tool):
    return tool.table


def test_the_table_says_of_each_rule_what_the_library_says(table, rated):
    pairs, rules, scores = rated
    found = table.table
    assert found["rule"].to_list() == rules.ids
    y = pairs["preference"].fill_null(0).to_numpy()
    worth = rule_information(scores.votes[y != 0], y[y != 0])
    assert found["information"].to_list() == pytest.approx(worth["estimate"].to_list())
    assert (found["information_low"] <= found["information_high"]).all()
    j = rules.index("internally-consistent")
    rows = np.flatnonzero((scores.votes[:, j] != 0) & (y != 0))
    single = rk.accuracy(scores.votes[rows, j], pairs[rows])
    row = found.row(j, named=True)
    assert (row["accuracy"], row["accuracy_low"], row["accuracy_high"]) == pytest.approx(
        (single.value, single.low, single.high)
    )
    use = dict(rk.studies.rule_use(pairs, scores).select("rule", "coverage").iter_rows())
    assert found["coverage"].to_list() == pytest.approx([use[n] for n in rules.ids])
    audit = rk.sign_audit(scores, y)
    assert (found["sign"] == "reversed").to_list() == audit["flagged"].to_list()
    one = rk.RuleSet((rules[3],))
    assert found["tokens"][3] == rk.studies.rating_cost(pairs, one, ks=())["tokens"][0]
    shared = table.shared - 2 * np.eye(len(rules))
    assert found["redundancy"].to_list() == pytest.approx(shared.max(axis=1))


@pytest.mark.parametrize("n_off", [0, 1, 40, 97, 99])
def test_switches_give_what_the_kept_columns_give(table, rated, n_off):
    pairs, rules, scores = rated
    off = frozenset(np.random.default_rng(n_off).permutation(rules.ids)[:n_off].tolist())
    on = [j for j, name in enumerate(rules.ids) if name not in off]
    for method in table.methods:
        state = RuleState(off=off, method=method, k=5)
        own = scores.columns(on)
        labels = rk.label(own, rk.select(own, min(5, len(on)), method))
        _, found = table.labelled(state)
        assert found.margin == pytest.approx(labels.margin, abs=1e-5), method
        row = table.summary(state).row(-1, named=True)
        accuracy = rk.accuracy(labels, pairs)
        assert (row["accuracy"], row["low"], row["high"]) == pytest.approx(
            (accuracy.value, accuracy.low, accuracy.high)
        )
        if np.ptp(own.votes, axis=0).any():
            assert row["effective"] == pytest.approx(effective_rules(own.votes))
        kept = rk.RuleSet(tuple(rules[j] for j in on))
        cost = rk.studies.rating_cost(pairs, kept, ks=()).row(0, named=True)
        assert row["ratings"] == cost["ratings"]
        assert row["tokens"] == pytest.approx(cost["tokens"], abs=len(on))


def test_the_selection_comes_back_as_a_frame_and_as_yaml(rated, tmp_path):
    pairs, rules, scores = rated
    tool = rk.workbench.rules(pairs.head(60), scores, rules, off=rules.ids[3:])
    assert tool.selection().filter("on")["rule"].to_list() == rules.ids[:3]
    assert len(tool.selection()) == 100
    (tmp_path / "text.yaml").write_text(tool.yaml(), encoding="utf-8")
    read = rk.RuleSet.load(tmp_path / "text.yaml")
    assert read.rules == rules.rules[:3]
    assert tool.save(tmp_path / "saved.yaml").read_text(encoding="utf-8") == tool.yaml()


def test_sorting_by_any_column_puts_its_true_first_row_first_and_missing_ones_last(table):
    for column in table.table.columns:
        for descending in (True, False):
            rows = table.rows(RuleState(sort=column, descending=descending))
            values = table.table[column].gather(rows)
            assert sorted(rows) == list(range(100))
            assert values[0] == (values.max() if descending else values.min())
            assert values.drop_nulls().is_sorted(descending=descending)
            assert values.head(100 - values.null_count()).null_count() == 0


def test_a_rule_decides_where_the_label_turns_without_it(table, rated):
    scores = rated[2]
    state = RuleState(k=3)
    busiest = max(table.rules.ids, key=lambda name: len(table.decided(state, name)))
    found = table.decided(state, busiest)
    assert len(found) > 2
    chosen = rk.select(scores, 3)
    row = table.pairs["pair_id"].to_list().index(found["pair_id"][0])
    j = table.place[busiest]
    assert j in chosen.indices[row]
    rest = [i for i in chosen.indices[row] if i != j]
    without = scores.discrepancy[row, rest].sum()
    assert {1: "A", -1: "B", 0: "–"}[int(np.sign(round(float(without), 5)))] == found["without"][0]
    assert (found["label"] != found["without"]).all()
    assert found["discrepancy"].abs().is_sorted(descending=True)


def test_the_map_puts_rules_together_that_share_most_and_keeps_the_largest_cell(table, rated):
    cells = table.redundancy
    assert len(cells) <= 5_000
    shared = table.shared - 2 * np.eye(100)
    top = cells.sort("value", descending=True).row(0, named=True)
    assert top["value"] == pytest.approx(shared.max())
    assert abs(top["row"] - top["column"]) == 1
    bits = rk.information.redundancy_matrix(rated[2].votes)
    assert top["bits"] == pytest.approx(bits[table.place[top["rule"]], table.place[top["other"]]])


def test_without_known_preferences_there_are_uses_and_costs_but_no_accuracy(rated):
    pairs, rules, scores = rated
    few = pairs.head(50).with_columns(preference=pl.lit(None, pl.Int8))
    tool = rk.workbench.rules(few, scores, rules)
    found = tool.data()
    assert tool.state.sort == "coverage"
    assert (
        found["rules"]["accuracy"].null_count() == found["rules"]["information"].null_count() == 100
    )
    assert found["summary"]["accuracy"].to_list() == [None]
    assert found["summary"]["tokens"][0] > 0
    assert len(tool.picture()) == 5


def test_one_rule_alone_has_a_table_and_no_map(rated):
    pairs, rules, scores = rated
    tool = rk.workbench.rules(pairs, scores.columns([5]), rk.RuleSet((rules[5],)))
    assert tool.data()["summary"]["effective"].to_list() == [1.0]
    assert len(tool.picture()) == 3


def test_the_last_rule_stays_on_and_wrong_choices_are_refused(tool):
    before = tool.state
    ids = tool.table.rules.ids
    for parts, said in (
        ({"off": ids}, "every rule is switched off"),
        ({"off": ["nobody"]}, "no rule 'nobody'"),
        ({"sort": "size"}, "allowed: rule, category"),
        ({"k": 101}, "k is 101; allowed: 1 to 100"),
        ({"method": "dpp"}, "allowed: max_discrepancy"),
    ):
        with pytest.raises(ValueError, match=said):
            tool.change(**parts)
        assert tool.state == before


def test_searches_and_filters_narrow_the_table(table):
    rows = table.rows(RuleState(search="REFUS"))
    assert 0 < len(rows) < 100
    for row in table.table[rows].iter_rows(named=True):
        assert "refus" in f"{row['rule']} {row['category']} {row['text']}".lower()
    often = table.table[table.rows(RuleState(filters=(("coverage", "≥", "0.2"),)))]
    assert 0 < len(often) < 100
    assert often["coverage"].min() >= 0.2


def test_rules_in_another_order_than_the_scores_are_found_by_their_ids(rated):
    pairs, rules, scores = rated
    turned = rk.RuleSet(rules.rules[::-1])
    found = RuleTable(pairs.head(40), scores, turned)
    assert found.rules.ids == list(scores.rule_ids)
