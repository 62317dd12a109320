"""Settings of judges as YAML gives them: read as numbers, refused by name, and judges by name."""

import math

import pytest
import yaml

from rulekit.judges import Limits, Prices, ServerJudge, Template, judge, names, options

URL = "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("option", "text", "field", "value"),
    [
        ("prices", "{prompt: 1e-1}", "prompt", 0.1),
        ("prices", "{prompt: 0.1, completion: '4', budget: 2e1}", "budget", 20.0),
        ("prices", "{prompt: 1, cached: null}", "cached", None),
        ("limits", '{concurrency: "8"}', "concurrency", 8),
        ("limits", "{tokens_per_minute: 3e5, retries: 0}", "tokens_per_minute", 3e5),
        ("limits", "{requests_per_minute: .inf}", "requests_per_minute", math.inf),
    ],
)
def test_a_number_that_yaml_reads_as_a_text_is_a_number(option, text, field, value):
    found = judge("server", model="m", base_url=URL, **{option: yaml.safe_load(text)})
    assert getattr(getattr(found, option), field) == value
    assert not isinstance(getattr(getattr(found, option), field), str)


def test_numbers_of_a_server_judge_may_be_texts_too():
    found = ServerJudge("m", URL, votes="12", top_logprobs="5", seed="3", method="votes")
    assert (found.votes, found.top_logprobs, found.seed) == (12, 5, 3)
    assert found.identity == ServerJudge("m", URL, votes=12, seed=3, method="votes").identity


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Limits(concurrency=0), "^concurrency: 0; allowed: whole numbers from 1$"),
        (lambda: Limits(concurrency=2.5), "^concurrency: 2.5; allowed: whole numbers from 1$"),
        (lambda: Limits(concurrency=True), "^concurrency: True; allowed: whole numbers from 1$"),
        (lambda: Limits(retries=-1), "^retries: -1; allowed: whole numbers from 0$"),
        (lambda: Limits(timeout=0), "^timeout: 0; allowed: above 0$"),
        (lambda: Limits(timeout="soon"), "^timeout: 'soon'; allowed: above 0$"),
        (lambda: Limits(tokens_per_minute=math.nan), "^tokens_per_minute: nan; allowed: above 0$"),
        (lambda: Limits(concurency=1), "^limits has no 'concurency'; allowed: concurrency, req"),
        (lambda: Prices(prompt=-1), "^price prompt: -1; allowed: from 0$"),
        (lambda: Prices(prompt=math.inf), "^price prompt: inf; allowed: from 0$"),
        (lambda: Prices(cached="nan"), "^price cached: 'nan'; allowed: from 0$"),
        (lambda: Prices(prompt=False), "^price prompt: False; allowed: from 0$"),
        (lambda: Prices(prompt=1, budget=math.nan), "^price budget: nan; allowed: from 0$"),
        (lambda: Prices(budget=1.0), "^a budget needs the prices"),
        (lambda: Prices(price=1), "^prices has no 'price'; allowed: prompt, completion, cached"),
        (lambda: Template(name="x"), "^template order is missing; allowed: conversation_first, "),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert type(error.value) is ValueError
    assert "\n" not in str(error.value)


def test_settings_inside_a_judge_are_refused_the_same_way():
    with pytest.raises(ValueError, match=r"^price prompt: -1; allowed: from 0$"):
        ServerJudge("m", URL, prices={"prompt": -1})
    with pytest.raises(ValueError, match=r"^limits has no 'speed'; allowed: "):
        ServerJudge("m", URL, limits={"speed": 1})


def test_settings_do_not_change():
    limits = Limits()
    with pytest.raises(ValueError, match="frozen"):
        limits.concurrency = 3


OWN = {"name": "mine", "order": "rule_first", "instruction": "Answer {answers}.", "question": ""}


def test_a_template_may_be_given_by_its_fields():
    found = ServerJudge("m", URL, template=OWN, method="votes")
    assert found.template == Template(**OWN)
    assert found.template.messages("Hi", "Ho", "Short.")[0]["content"].startswith(
        "Answer yes, no or irrelevant.\nRule:\nShort."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "any"}, "template order: 'any'; allowed: conversation_first, rule_first"),
        ({"instruction": " \n"}, "template instruction: .*; allowed: a text that states the task"),
        ({"answers": ["yes", "no"]}, r"template answers: \('yes', 'no'\); allowed: yes, no, irr"),
        ({"answers": ["yes", "no", "maybe"]}, "template answers: .*'maybe'"),
        ({"rule": "x"}, "template has no 'rule'; allowed: name, order, instruction, question"),
    ],
)
def test_a_template_that_is_none_is_refused_by_its_field(change, message):
    with pytest.raises(ValueError, match=message):
        Template(**OWN | change)


def test_a_template_keeps_its_hash():
    """Stored ratings are found by it."""
    assert ServerJudge("m", URL).template.hash == (
        "533a4ef3ce3ba8549fe0f0143da294da071c984d9133235f7e6326b2eb783713"
    )


def test_judges_are_had_by_name_with_the_settings_that_they_take():
    assert names() == ["encoder", "local", "recorded", "server"]
    assert options("recorded") == ["source"]
    assert options("local")[0] == "model"
    assert {"dtype", "tokens_per_batch", "max_tokens", "attention"} <= set(options("local"))
    assert options("server")[:2] == ["model", "base_url"]
    with pytest.raises(ValueError, match="unknown judge 'x'; allowed: encoder, local, recorded, s"):
        judge("x")
    with pytest.raises(ValueError, match="judge 'encoder' has no option 'model'; allowed: path"):
        judge("encoder", model="m")
    with pytest.raises(ValueError, match="judge 'server' needs model and base_url; allowed: model"):
        judge("server", base_url="")
