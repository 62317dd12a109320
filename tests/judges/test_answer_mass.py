"""Answers that are none: too little answer mass, a content filter, a verdict inside the reasoning."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from rulekit.judges import Limits, LocalJudge
from rulekit.judges.mass import LEAST_MASS
from rulekit.judges.server.answers import from_votes, verdict
from tests.judges.faulty_server import Server, serve
from tests.judges.helpers import PROMPTS, RESPONSES, RULES, judge_of, steady
from tests.judges.local_models import build

REASONS = {"Okay": 0.9, "Alright": 0.09, "Yes": 1e-5, "No": 1e-9}  # a model that would reason first


def test_a_model_that_would_reason_first_gives_no_rating_and_says_what_it_would_say():
    with serve(Server(lambda body: REASONS)) as server:
        judge = judge_of(server)
        with pytest.warns(UserWarning, match=r"answers hold 0\.0% of the probability: m would"):
            rating = judge.rate(PROMPTS, RESPONSES, RULES)
        assert not rating.rated.any()
        assert np.isnan(rating.mass).all()
        reason = "the three answers hold 1e-05 of the probability, 'Okay' 0.9; allowed: a mass from"
        assert rating.failures == dict.fromkeys(np.ndindex(2, 4), f"{reason} 0.05 (least_mass)")
        with warnings.catch_warnings():  # once a judge
            warnings.simplefilter("error")
            judge.rate(PROMPTS, RESPONSES, RULES)
        with pytest.warns(UserWarning, match="would rather say something else"):
            told = judge_of(server, least_mass=0).rate(PROMPTS, RESPONSES, RULES)
    np.testing.assert_allclose(told.probabilities[..., 2], 1e-5 / (1e-5 + 1e-9), rtol=1e-4)


@pytest.mark.parametrize("mass", [0.06, 0.04])
def test_the_least_mass_parts_ratings_from_failures_and_is_part_of_the_identity(mass):
    answer = {"Well": 1 - mass, "yes": 0.75 * mass, "no": 0.25 * mass}
    with serve(Server(lambda body: answer)) as server:
        judge, lower = judge_of(server), judge_of(server, least_mass=0.03)
        with pytest.warns(UserWarning, match="would rather say something else"):
            rating, all_rated = (j.rate(PROMPTS, RESPONSES, RULES) for j in (judge, lower))
    assert (rating.rated == (mass > LEAST_MASS)).all()
    assert all_rated.rated.all()
    np.testing.assert_allclose(all_rated.probabilities[..., 2], 0.75, atol=1e-6)
    np.testing.assert_allclose(all_rated.mass, mass, atol=1e-6)
    assert judge.identity != lower.identity
    with pytest.raises(ValueError, match=r"least_mass: 2; allowed: from 0 to 1"):
        judge_of(server, least_mass=2)


def test_a_low_mass_that_comes_later_is_told_then():
    answers = [{"yes": 1.0}]
    with serve(Server(lambda body: answers[-1])) as server:
        judge = judge_of(server)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            judge.rate(PROMPTS, RESPONSES, RULES)
        answers.append({"yes": 0.2, "Well": 0.8})
        with pytest.warns(UserWarning, match=r"hold 20\.0% of the probability"):
            rating = judge.rate(PROMPTS, RESPONSES, RULES)
    assert rating.rated.all()


def test_a_local_model_is_held_to_the_same_least_mass(tokenizer, rules):
    model = build("llama", len(tokenizer))
    free = LocalJudge(model, tokenizer, "tiny", least_mass=0)
    with pytest.warns(UserWarning, match="would rather say something else"):
        expected = free.rate(PROMPTS, RESPONSES, rules)
    least = round(float(np.median(expected.mass)), 4)
    held = LocalJudge(model, tokenizer, "tiny", least_mass=least)
    with pytest.warns(UserWarning, match="would rather say something else"):
        rating = held.rate(PROMPTS, RESPONSES, rules)
    kept = expected.mass >= least
    assert 0 < kept.sum() < kept.size
    assert (rating.rated == kept).all()
    np.testing.assert_array_equal(rating.probabilities[kept], expected.probabilities[kept])
    np.testing.assert_array_equal(np.isnan(rating.mass), ~kept)
    assert set(rating.failures) == set(map(tuple, np.argwhere(~kept).tolist()))
    i, j = np.argwhere(~kept)[0]
    asked = held.template.messages(PROMPTS[i], RESPONSES[i], rules.texts[j])
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt")
    p = model(ids["input_ids"]).logits[0, -1].softmax(-1).detach()
    likeliest = tokenizer.decode([int(p.argmax())])
    assert rating.failures[i, j] == (
        f"the three answers hold {expected.mass[i, j]:.1g} of the probability, {likeliest!r} "
        f"{float(p.max()):.1g}; allowed: a mass from {least:g} (least_mass)"
    )


@pytest.mark.parametrize("method", ["logprobs", "votes"])
def test_an_answer_that_a_content_filter_has_cut_is_no_rating(method):
    with serve(Server(steady, finish="content_filter")) as server:
        judge = judge_of(server, method=method, limits=Limits(give_up_after=1, refusals=1))
        rating = judge.rate(PROMPTS, RESPONSES, RULES)
        assert rating.stopped is None
        assert set(rating.failures.values()) == {"the server's content filter has cut the answer"}
        assert len(rating.failures) == 8
        with pytest.raises(ConnectionError, match="content filter has cut the answer"):
            judge_of(server, method="auto").rate(PROMPTS, RESPONSES, RULES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yes", "yes"),
        ("<think>\nyes, it does\n</think>\n\nno", "\n\nno"),
        ("I think yes.\n</think>\nno", "\nno"),  # opened in the prompt, by the chat template
        ("<THINK>no</THINK> yes", " yes"),
        ("[THINK]no[/THINK]yes", "yes"),
        ("◁think▷no◁/think▷yes", "yes"),
        ("<reasoning>no</reasoning>yes", "yes"),
        ("<think>yes", None),
        ("yes <think>no", None),
        ("<think>no</think><think>yes", None),
    ],
)
def test_only_what_stands_behind_the_reasoning_is_a_verdict(text, said):
    assert verdict(text) == said


def test_votes_that_end_inside_their_reasoning_count_nowhere():
    answer = from_votes(["<think>yes", "<think>no</think>yes", "no", "<think>\n\n</think>\n\nno"])
    np.testing.assert_allclose(answer.weights, [0.5, 0, 0.25])
    assert answer.mass == 0.75


def test_a_model_that_reasons_gets_room_for_it_and_fails_where_there_is_none():
    thought = {"<think>\nyes, it is polite\n</think>\n\nNo": 1.0}
    with serve(Server(lambda body: thought)) as server:
        judge = judge_of(server, method="votes", votes=2, vote_tokens=500)
        rating = judge.rate(PROMPTS, RESPONSES, RULES)
        server.answer = lambda body: {"<think>\nyes, it is": 1.0}
        with pytest.warns(UserWarning, match=r"hold 0\.0%"):
            cut = judge_of(server, method="votes").rate(PROMPTS, RESPONSES, RULES)
    assert (rating.probabilities == [1, 0, 0]).all()
    assert server.requests[0]["max_completion_tokens"] == 500
    assert server.requests[-1]["max_completion_tokens"] == 8
    assert json.loads(judge.identity)["vote_tokens"] == 500
    assert not cut.rated.any()
    assert "each ends inside its reasoning; allowed: more `vote_tokens`" in cut.failures[0, 0]
