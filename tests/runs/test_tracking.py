"""Runs handed to MLflow: its own store in a folder is read back."""

import pytest

import rulekit as rk
from tests.runs.tiny import tiny_sweep

mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")


def test_mlflow_has_parameters_figures_and_status_and_each_run_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    sweep, uri = tiny_sweep(tmp_path), f"file://{tmp_path}/store"
    ids = rk.runs.log_runs(sweep, uri=uri)
    assert rk.runs.log_runs(sweep, uri=uri) == ids
    client = mlflow.MlflowClient(tracking_uri=uri)
    (experiment,) = (e for e in client.search_experiments() if e.name == sweep.name)
    found = client.search_runs([experiment.experiment_id])
    assert {r.info.run_id for r in found} == set(ids)
    table = {row["run"]: row for row in rk.runs.table(sweep).iter_rows(named=True)}
    for run in found:
        row = table[run.info.run_name]
        assert run.data.params["k"] == str(row["k"])
        assert run.info.status == {"done": "FINISHED", "failed": "FAILED"}[row["status"]]
        if row["status"] == "done":
            assert run.data.metrics["tiny.accuracy"] == pytest.approx(row["tiny.accuracy"])
            assert run.data.metrics["seconds"] == pytest.approx(row["seconds"])
    assert client.list_artifacts(next(i for i in ids))


def test_another_keeper_and_a_missing_one_are_told(tmp_path):
    with pytest.raises(ValueError, match="unknown keeper 'paper'; allowed: mlflow"):
        rk.runs.log_runs(tmp_path, "paper")
