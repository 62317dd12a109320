"""What a judge is: who counts as one, what `rate` gives, and the scores of pairs."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.judges import (
    Answered,
    Judge,
    Rating,
    RatingFailed,
    RatingInterrupted,
    Spending,
    Stopped,
    Usage,
    as_judge,
    keeping,
    order_effects,
    score,
    wanted_cells,
)
from tests.judges.helpers import PROMPTS, RESPONSES, RULES, two_pairs

CONTRIBUTING = Path(__file__).parents[2] / ".github/CONTRIBUTING.md"


class Longer(Judge):
    """Compares: the longer response is the better one, and the first by `liking` whatever it is."""

    identity, pairwise = "longer", True

    def __init__(self, lost=(), liking: float = 0.0) -> None:
        self.lost, self.liking, self.asked = lost, liking, []

    def rate(self, prompts, responses, rules, mask=None):
        wanted = wanted_cells(prompts, responses, rules, mask, pairwise=True)
        self.asked += responses
        with keeping(Rating.blank(*wanted.shape)) as rating:
            for i, j in np.argwhere(wanted).tolist():
                if rules[j].text in self.lost:
                    rating.failures[i, j] = "lost"
                    continue
                first, second = map(len, responses[i])
                yes = self.liking + (0.8 - self.liking) * first / (first + second)
                rating.probabilities[i, j] = 0.8 - yes, 0.2, yes
        return rating


class Bare:
    """Has nothing of `Judge` but what it must have."""

    identity = "bare"

    def rate(self, prompts, responses, rules, mask):
        return Rating(np.broadcast_to([0.1, 0.3, 0.6], (len(responses), len(rules), 3)))


@pytest.mark.parametrize(("liking", "both"), [(0.0, False), (0.0, True), (0.2, True)])
def test_a_pairwise_judge_is_asked_about_each_pair_once_an_order(liking, both):
    again = two_pairs().with_columns(pair_id=pl.Series(["3", "4"]))
    pairs = pl.concat([two_pairs(), again])
    judge = Longer(liking=liking)
    scores = score(pairs, RULES, judge, both_orders=both)
    sides = two_pairs().select("response_a", "response_b").rows()
    assert judge.asked == sides + [(b, a) for a, b in sides] * both
    n = np.array([[len(r) for r in pair] for pair in sides])
    expected = (0.8 - liking) * (n[:, 0] - n[:, 1]) / n.sum(axis=1)
    delta = np.tile(expected, 2)[:, None].repeat(len(RULES), 1)
    np.testing.assert_allclose(scores.discrepancy, delta, atol=1e-6)
    np.testing.assert_allclose(scores.a, -scores.b)
    np.testing.assert_allclose(scores.relevance, 0.8, atol=1e-6)
    assert scores.identity == rk.Identity.of(RULES, pairs)


def test_swapped_responses_show_a_pairwise_judge_s_liking_for_a_place():
    for liking in (0.0, 0.2):
        table = order_effects(two_pairs(), RULES, Longer(liking=liking))
        effect = dict(zip(table["change"], table["mean_difference"], strict=True))
        assert effect["responses swapped"] == pytest.approx(2 * liking, abs=1e-6)
        assert effect["the same again"] == 0


def test_scores_with_a_gap_are_refused_with_the_reason_and_the_ratings():
    with pytest.raises(RatingFailed, match=r"^4 of 16 ratings failed \(4 × lost\)") as error:
        score(two_pairs(), RULES, Longer(lost=RULES.texts[:1]))
    assert error.value.rating.rated.sum() == 12


def test_what_has_only_identity_and_rate_is_completed_and_a_judge_passes_through():
    judge = Longer()
    assert as_judge(judge) is judge
    bare = as_judge(Bare())
    assert (bare.identity, bare.pairwise) == ("bare", False)
    assert (bare.spending, bare.answered) == (None, None)
    assert as_judge(bare) is bare
    np.testing.assert_allclose(score(two_pairs(), RULES, Bare()).a, 0.5, atol=1e-6)
    told = Bare()
    told.pairwise, told.spending, told.identity = True, Spending(), "told"
    told.answered = Answered()
    found = as_judge(told)
    assert (found.identity, found.pairwise) == ("told", True)
    assert found.spending is told.spending
    assert found.answered is told.answered


class Nameless(Judge):
    def rate(self, prompts, responses, rules, mask=None):
        return Bare().rate(prompts, responses, rules, mask)


class Empty(Bare):
    identity = ""


class Old(Bare):
    def rate(self, *arguments):
        return super().rate(*arguments).probabilities


@pytest.mark.parametrize("judge", ["encoder", None, Bare, Nameless(), Empty(), rk.RuleSet])
def test_what_is_no_judge_is_told_what_one_has(judge):
    with pytest.raises(ValueError, match=r"is no judge; allowed: .* `identity`.* and `rate\("):
        score(two_pairs(), RULES, judge)


def test_a_rate_that_gives_an_array_is_named():
    with pytest.raises(ValueError, match=r"rate gave ndarray; allowed: rulekit\.judges\.Rating"):
        score(two_pairs(), RULES, Old())


def test_an_identity_that_asks_a_server_is_not_asked_for_by_looking_at_the_judge():
    class Asks(Bare):
        @property
        def identity(self):
            raise ConnectionError

    assert as_judge(Asks()).pairwise is False


def test_what_breaks_a_call_comes_out_with_what_was_rated():
    def half(rating: Rating, error: BaseException) -> None:
        with keeping(rating):
            rating.probabilities[0, 0] = 0.2, 0.3, 0.5
            raise error

    for error, told in ((KeyboardInterrupt(), RatingInterrupted), (OSError("full"), RatingFailed)):
        rating = Rating.blank(2, 1)
        with pytest.raises(told) as broken:
            half(rating, error)
        assert broken.value.rating is rating
        assert rating.rated.tolist() == [[True], [False]]
    assert str(broken.value) == "OSError: full"
    assert issubclass(RatingInterrupted, KeyboardInterrupt)
    assert issubclass(RatingFailed, RuntimeError)


def test_gaps_tell_what_failed_from_what_was_not_sent_among_what_was_wanted():
    rating = Rating.blank(2, 2)
    rating.probabilities[0, 0] = 0.2, 0.3, 0.5
    rating.failures[0, 1] = "too long"
    rating.stopped, rating.reason = Stopped.BUDGET, "the budget is used up"
    assert rating.gaps() == (
        "the budget is used up: 2 of 4 ratings were not sent; 1 of 4 ratings failed (1 × too long)"
    )
    wanted = np.array([[True, True], [False, False]])
    assert rating.gaps(wanted) == "1 of 2 ratings failed (1 × too long)"
    assert not rating.gaps(wanted & ~np.eye(2, dtype=bool)[::-1])
    with pytest.raises(RatingFailed, match="is used up: 2 of 4") as error:
        rating.complete()
    assert error.value.rating is rating


def test_a_rating_takes_arrays_that_fit_and_knows_no_mass_by_default():
    rating = Rating([[[0.1, 0.2, 0.7]]])
    assert rating.probabilities.dtype == rating.mass.dtype == np.float32
    assert np.isnan(rating.mass).all()
    assert rating.complete() is rating.probabilities
    with pytest.raises(ValueError, match=r"probabilities: \(2, 3\); allowed: \(n_responses, n_rul"):
        Rating(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"mass: \(1, 2\); allowed: \(2, 1\)"):
        Rating(np.ones((2, 1, 3)), np.ones((1, 2)))


def test_usage_adds_up_and_every_spending_has_a_run_of_its_own():
    both = Usage(requests=2, cost=0.5, tokens=3) + Spending(requests=1, cost=0.25, earlier=9.0)
    assert both == Usage(requests=3, cost=0.75, tokens=3)
    one, other = Spending(cost=1.0, uncertain_cost=0.5, earlier=2.0), Spending()
    assert one.spent == 3.5
    assert one.run != other.run
    assert re.fullmatch("[0-9a-f]{32}", one.run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": ["a"]}, "prompts: 1; allowed: 2, one a response"),
        ({"responses": [("a", "b"), "b"]}, r"responses: \('a', 'b'\) at 0; allowed: texts"),
        ({"responses": ["a", None]}, "responses: None at 1; allowed: texts"),
        ({"mask": np.ones((2, 3), bool)}, r"mask: bool \(2, 3\); allowed: bool \(2, 4\)"),
        ({"mask": np.ones((2, 4))}, "mask: float64"),
        ({"pairwise": True}, "responses: 'Good morning!' at 0; allowed: tuples of two texts"),
    ],
)
def test_arguments_that_do_not_fit_are_named(change, message):
    arguments = {"prompts": PROMPTS, "responses": RESPONSES, "rules": RULES} | change
    with pytest.raises(ValueError, match=message):
        wanted_cells(**arguments)


def test_the_judge_that_contributing_shows_rates_and_is_about_thirty_lines(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```$", CONTRIBUTING.read_text("utf-8"), re.M | re.S)
    [block] = [b for b in blocks if "(Judge):" in b]
    scope: dict = {}
    exec(compile(block, str(CONTRIBUTING), "exec"), scope)
    assert "Scores(3 pairs × 100 rules" in capsys.readouterr().out
    kind = next(v for v in scope.values() if isinstance(v, type) and Judge in v.__bases__)
    body = re.search(r"^class .*?(?=^\S)", block, re.M | re.S)[0].split(kind.__name__)[1]
    assert 20 <= len(re.split(r"^\w", body, flags=re.M)[0].splitlines()) <= 35

    judge = kind()
    rules = rk.RuleSet.from_texts(["Mentions morning, flour.", "Why so?"])
    rating = judge.rate(PROMPTS, RESPONSES, rules, np.array([[True, False], [True, True]]))
    assert rating.rated.tolist() == [[True, False], [True, False]]
    assert rating.failures == {(1, 1): "the rule has no long word"}
    np.testing.assert_allclose(rating.probabilities[rating.rated].sum(-1), 1, atol=1e-6)
    assert rating.usage.tokens > 0
    assert kind(0.8).identity != judge.identity

    known = rk.RuleSet(rules.rules[:1])
    scores = score(two_pairs(), known, judge)
    assert (scores.a[0] > 0).all()
    for name in ("a", "b", "relevance"):
        stored = rk.annotate(two_pairs(), known, judge)
        np.testing.assert_allclose(getattr(stored, name), getattr(scores, name), atol=1e-6)
