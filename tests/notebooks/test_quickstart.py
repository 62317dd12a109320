"""The six notebooks of the quickstart run whole, notebooks 8 and 9 with the engine asked for."""

import json

import nbformat
import polars as pl
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(executed):
    few = {"max_steps": 2, "save_every": 1, "max_tokens": 48, "pairs_per_step": 4}
    asked = {"overrides": few, "teachers": ["sum"], "more_pairs": "embedded"}
    return executed("quickstart", config="encoder-cpu", **asked)


def test_quickstart_runs_whole_and_leaves_its_results(folder):
    assert len(list((folder / "html").glob("*.html"))) == 6
    assert (folder / "artefacts/results.png").stat().st_size > 20_000
    metrics = json.loads((folder / "metrics.json").read_text())
    accuracy = {r["name"]: r["value"] for r in metrics["03_selection"]["label_accuracy"]}
    assert accuracy["max_discrepancy"] > accuracy["random"]
    assert metrics["09_reward_model"]["accuracy"][0]["n"] == 864
    html = (folder / "html/10_results.html").read_text(encoding="utf-8")
    assert "data:image/png;base64" in html
    assert json.loads((folder / "provenance.json").read_text())["data_sha256"]


@pytest.mark.parametrize(
    ("name", "kind"), [("08_rule_adapter", "adapter"), ("09_reward_model", "reward/sum")]
)
def test_a_parameter_sends_a_notebook_to_the_engine(folder, name, kind):
    artefacts = folder / "artefacts"
    kinds = {"adapter", "reward", "more-pairs"}
    assert {p.name for p in artefacts.glob("engine-*") if p.is_dir()} == {
        f"engine-{k}" for k in kinds
    }
    run = artefacts / f"engine-{kind}"
    assert (run / "model" / "model.safetensors").stat().st_size > 1_000_000
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    told = json.loads((artefacts / f"metrics/{name[:2]}_engine.json").read_text())
    if kind == "adapter":
        assert told == metrics
    else:
        found = {row["name"]: row for row in told["accuracy"]}
        assert found["trained on sum"]["value"] == pytest.approx(metrics["accuracy"], abs=1e-6)
        assert found["trained on sum"]["over_encoder_low"] is not None
    held = pl.read_parquet(run / "evaluation.parquet")
    train = pl.read_parquet(run / "train.parquet")
    assert not {str(p) for p in held["prompt"]} & {str(p) for p in train["prompt"]}
    assert len(held) + len(train) == 864
    shown = [
        o.data
        for c in nbformat.read(folder / f"notebooks/{name}.ipynb", as_version=4).cells
        for o in c.get("outputs", [])
        if "data" in o
    ]
    assert any("optimiser step" in str(data) for data in shown)


def test_the_engine_learns_known_preferences_of_more_pairs_in_a_run_of_its_own(folder):
    run = folder / "artefacts/engine-more-pairs/people"
    train, held = (pl.read_parquet(run / f"{part}.parquet") for part in ("train", "evaluation"))
    assert not {str(p) for p in train["prompt"]} & {str(p) for p in held["prompt"]}
    assert len(train) + len(held) == 864
    told = json.loads((folder / "artefacts/metrics/09_more_pairs.json").read_text())["accuracy"]
    found = {row["name"]: row for row in told}
    measured = json.loads((run / "result.json").read_text())["metrics"]["accuracy"]
    assert found["trained on people"]["value"] == pytest.approx(measured, abs=1e-6)
    assert found["trained on people"]["n"] == len(held)
    assert found["encoder, trained on people"]["value"] > 0.6
