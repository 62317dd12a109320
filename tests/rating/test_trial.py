"""A trial of new rules: in the background, stopped by a call, and never beyond its budget."""

import threading

import numpy as np
import pytest

from rulekit import RuleSet
from rulekit.judges import Rating
from rulekit.rating import RuleTrial, Store
from tests.judges.helpers import two_pairs

RULES = RuleSet.from_texts(["It greets.", "It is short.", "It refuses."])


class Counted:
    """Rates by the length of the response; counts what it is asked, and can be held."""

    identity = "counted"

    def __init__(self) -> None:
        self.ratings, self.held, self.began = 0, threading.Event(), threading.Event()
        self.held.set()

    def rate(self, prompts, responses, rules, mask=None):
        self.began.set()
        assert self.held.wait(20)
        self.ratings += int(mask.sum())
        yes = np.array([[min(1.0, len(r) / 30)] * len(rules) for r in responses])
        return Rating(np.stack([1 - yes, np.zeros_like(yes), yes], axis=-1))


def test_cost_is_known_before_and_is_what_is_spent():
    trial = RuleTrial(two_pairs(), judge := Counted(), budget=100, price=0.5)
    told = trial.cost(RULES)
    assert told["ratings"] == 9  # three distinct responses under three rules
    assert told["price"] == 4.5
    assert judge.ratings == 0
    trial.rate(RULES)
    assert judge.ratings == trial.sent == 9
    assert trial.ledger.cost == 4.5
    assert trial.cost(RULES)["ratings"] == 0
    assert set(trial.states.values()) == {"rated"}
    scores = trial.scores(RULES)
    assert scores.names == RULES.ids
    assert scores.a[0, 0] == pytest.approx(2 * len("Good morning!") / 30 - 1)


def test_nothing_is_rated_beyond_the_budget():
    trial = RuleTrial(two_pairs(), judge := Counted(), budget=7)
    trial.rate(RULES)
    assert judge.ratings == 6
    assert trial.states["It refuses."] == "over the budget: 3 ratings needed, 1 left"
    assert trial.scores(RULES).names == RULES.ids[:2]


def test_what_a_store_holds_costs_nothing(tmp_path):
    path = tmp_path / "ratings.sqlite"
    RuleTrial(two_pairs(), Counted(), store=path).rate(RULES)
    again = RuleTrial(two_pairs(), judge := Counted(), budget=1, store=path)
    again.rate(RULES)
    assert judge.ratings == 0
    assert again.scores(RULES).n_rules == 3


def test_asking_for_the_cost_leaves_nothing_in_a_kept_store(tmp_path):
    path = tmp_path / "ratings.sqlite"
    trial = RuleTrial(two_pairs(), Counted(), store=path)
    trial.rate(RuleSet(RULES.rules[:1]))
    assert trial.cost(RuleSet.from_texts(["It gre", RULES.texts[0]]))["ratings"] == 3
    with Store(path) as store:
        assert len(store.rules()) == 1


def test_a_stop_ends_after_the_batch_that_is_under_way():
    judge = Counted()
    judge.held.clear()
    trial = RuleTrial(two_pairs(), judge, batch=1)
    trial.start(RULES)
    assert judge.began.wait(20)
    trial.stop()
    judge.held.set()
    assert trial.wait(20)
    assert judge.ratings == 1
    assert set(trial.states.values()) == {"stopped"}
    trial.rate(RULES)  # goes on where it was
    assert judge.ratings == 9


def test_a_new_start_takes_the_place_of_the_old_one_and_tells_each_step():
    judge, told = Counted(), []
    judge.held.clear()
    trial = RuleTrial(two_pairs(), judge, batch=1)
    trial.start(RULES)
    assert judge.began.wait(20)
    other = RuleSet.from_texts(["It rhymes."])
    trial.start(other, lambda: told.append(dict(trial.states)))
    judge.held.set()
    assert trial.wait(20)
    assert trial.states["It rhymes."] == "rated"
    assert trial.scores(RULES) is None
    assert told[0]["It rhymes."] == "waiting"
    assert told[-1]["It rhymes."] == "rated"


def test_a_judge_that_breaks_is_told_of():
    class Broken(Counted):
        def rate(self, *arguments):
            raise RuntimeError("out of order")

    trial = RuleTrial(two_pairs(), Broken())
    trial.rate(RULES)
    assert all("out of order" in state for state in trial.states.values())
    assert trial.scores(RULES) is None


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ValueError, match="budget is 0"):
        RuleTrial(two_pairs(), Counted(), budget=0)
