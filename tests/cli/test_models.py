"""`rulekit models`: what has a name, what is here, where it lies."""

import pytest

from rulekit import models
from tests.cli.words import refused, run


@pytest.fixture
def _nothing_here(tmp_path, monkeypatch):
    monkeypatch.setenv("RULEKIT_CACHE", str(tmp_path))


@pytest.mark.usefixtures("_nothing_here")
def test_what_is_not_here_is_listed_with_its_size_and_path_and_remove_say_how_to_get_it():
    assert run("models", "list").out == (
        "smollm2-135m  SmolLM2-135M-Instruct, a Llama of 135 million parameters that reads 8,192 "
        "tokens; Apache-2.0; not here, 98 MB\n"
    )
    (row,) = run("models", "list", "--json").json["models"]
    assert (row["name"], row["folder"]) == ("smollm2-135m", None)
    for word in ("path", "remove"):
        told = refused("models", word, "smollm2-135m")
        assert told == (
            "model 'smollm2-135m' is not here; allowed: rulekit models fetch smollm2-135m first"
        )


@pytest.mark.parametrize("word", ["fetch", "path", "remove"])
def test_an_unknown_model_lists_those_there_are(word):
    assert "unknown model 'gpt'; allowed: smollm2-135m" in refused("models", word, "gpt")


def test_a_fetched_model_is_found_and_not_fetched_again(smollm2):
    assert run("models", "path", "smollm2-135m").out == f"{smollm2}\n"
    fetched = run("models", "fetch", "smollm2-135m")
    assert fetched.out.splitlines()[0] == f"smollm2-135m: {smollm2}"
    assert fetched.err == ""
    assert f"here: {smollm2}" in run("models", "list").out
    assert models.path("smollm2-135m") == smollm2
