"""`rulekit doctor` on this machine, and on one where something is broken."""

import json
import sys
from pathlib import Path

import pytest

from rulekit.cli import doctor
from tests.cli.words import run

WHAT = [
    "python",
    "rulekit",
    "packages",
    "parts of the kit",
    "compiled kernels",
    "GPU",
    "Jupyter kernel",
    "Jupyter widgets",
    "encoder",
    "data folder",
    "cache",
    "disk",
]


def states(told: dict) -> dict[str, str]:
    return {check["what"]: check["state"] for check in told["checks"]}


def found(told: dict, what: str) -> dict:
    return next(check for check in told["checks"] if check["what"] == what)


def test_every_line_is_ok_or_says_what_to_do():
    ran = run("doctor", "--json")
    assert ran.status == 0, ran
    assert list(dict.fromkeys(states(ran.json))) == WHAT
    assert ran.json["broken"] == []
    for check in ran.json["checks"]:
        assert bool(check["advice"]) == (check["state"] != "ok"), check
    assert found(ran.json, "python")["said"].endswith(sys.executable)
    lines = run("doctor").out.splitlines()
    assert lines[0].startswith("ok     python: 3.")
    assert lines[-1].startswith("nothing needed is broken; next: rulekit new FOLDER")


def test_a_part_of_the_kit_that_cannot_be_loaded_is_broken(monkeypatch):
    monkeypatch.setitem(sys.modules, "rulekit.theory", None)
    ran = run("doctor", "--json")
    assert ran.status == 1
    assert ran.json["broken"] == ["parts of the kit"]
    assert "rulekit.theory" in found(ran.json, "parts of the kit")["said"]


def test_an_encoder_that_is_not_where_it_is_said_to_be_is_broken(monkeypatch, tmp_path):
    monkeypatch.setenv("RULEKIT_ENCODER", str(tmp_path))
    ran = run("doctor", "--json")
    assert ran.status == 1
    assert ran.json["broken"] == ["encoder"]
    assert "no model.safetensors in it" in found(ran.json, "encoder")["said"]
    assert "unset RULEKIT_ENCODER" in found(ran.json, "encoder")["advice"]
    shown = run("doctor")
    assert "BROKEN encoder: " in shown.out
    assert shown.out.splitlines()[-1] == "broken: encoder"


def test_a_data_folder_that_lacks_files_is_no_failure_but_one_that_is_none_is(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("RULEKIT_DATA", str(tmp_path))
    told = next(doctor._data())
    assert told.state == "note"
    assert "hh-rule-votes/votes.csv.gz" in told.said
    monkeypatch.setenv("RULEKIT_DATA", str(tmp_path / "nothing"))
    told = next(doctor._data())
    assert (told.state, told.advice) == (
        "BROKEN",
        "name a folder that is there, or unset RULEKIT_DATA",
    )
    monkeypatch.delenv("RULEKIT_DATA")
    assert next(doctor._data()).state == "ok"


def test_a_cache_whose_place_is_a_file_is_broken(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RULEKIT_CACHE", str(tmp_path / "file"))
    assert next(doctor._cache()).state == "BROKEN"


def test_packages_that_do_not_fit_are_named_with_the_command_that_mends_them():
    from packaging.requirements import Requirement

    wanted = [Requirement(t) for t in ("numpy>=999", "no-such-package>=1", "polars>=1")]
    wrong = {name: (want, has) for name, want, has in doctor._unsatisfied(wanted)}
    assert set(wrong) == {"numpy", "no-such-package"}
    assert wrong["no-such-package"] == (">=1", "is missing")
    assert wrong["numpy"][0] == ">=999"


def test_the_packages_of_the_project_are_those_that_are_looked_at():
    needed = doctor._requirements("rulekit")
    project = Path(doctor.__file__).parents[2] / "pyproject.toml"
    for package in ("typer", "torch", "polars", "jupyterlab"):
        assert any(text.startswith(package) for text in needed), package
        assert package in project.read_text()


def test_widgets_of_another_jupyterlab_are_told_with_the_command_that_mends_them(
    monkeypatch, tmp_path
):
    """An extension that an older installation left is the first that JupyterLab finds."""
    left = tmp_path / "labextensions/@jupyter-widgets/jupyterlab-manager"
    left.mkdir(parents=True)
    (left / "package.json").write_text('{"version": "3.1.11"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    told = next(doctor._widgets())
    assert told.state == "note"
    assert "in JupyterLab 3.1.11" in told.said
    assert "pip install --force-reinstall ipywidgets jupyterlab_widgets" in told.advice


@pytest.mark.parametrize(
    ("python", "state"), [("/nowhere/python", "BROKEN"), ("/usr/bin/env", "note")]
)
def test_a_kernel_of_another_python_is_told(python, state, monkeypatch, tmp_path):
    kernel = tmp_path / "kernels/python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": [python, "-m", "ipykernel"], "display_name": "3", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    told = next(doctor._kernel())
    assert told.state == state
    assert python in told.said
    assert told.advice.endswith("-m ipykernel install --sys-prefix")
