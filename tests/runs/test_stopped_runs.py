"""`rulekit run` while it runs and when it is stopped: no half-written state has a final name."""

import json
import signal
import subprocess
import sys
import time

from tests.runs.notebooks import write


def test_a_running_notebook_is_hidden_and_ctrl_c_says_how_to_go_on(tmp_path):
    flag, quick = tmp_path / "begun", tmp_path / "quick"
    write(tmp_path / "first.ipynb", "k: int = 1  # a number", "print(k)")
    write(
        tmp_path / "slow.ipynb",
        "k: int = 1  # a number",
        f"import time\nfrom pathlib import Path\nPath({str(flag)!r}).touch()\n"
        f"if not Path({str(quick)!r}).exists():\n    time.sleep(600)",
    )
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nsteps: [{notebook: first.ipynb}, {notebook: slow.ipynb}]"
    )
    words = [sys.executable, "-m", "rulekit", "run", "mine.yaml"]
    process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not flag.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    (folder,) = (tmp_path / "runs").iterdir()
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    seen = [p.name for p in folder.glob("notebooks/*.ipynb") if not p.name.startswith(".")]
    assert seen == ["first.ipynb"]
    assert (folder / "notebooks" / ".running-slow.ipynb").is_file()
    assert not list(folder.glob("failed-*"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    said = f"rulekit: interrupted; to go on: rulekit run mine.yaml --resume {folder}"
    assert [line for line in err.splitlines() if line.startswith("rulekit: ")] == [said]
    assert "WARNING" not in err  # of a kernel about its transport
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    assert not list(folder.glob("failed-*"))
    quick.touch()
    subprocess.run([*words, "--resume", str(folder), "-q"], cwd=tmp_path, check=True)
    told = json.loads((folder / "run.json").read_text())
    assert [(s["name"], s["status"]) for s in told["steps"]] == [
        ("first", "done"),
        ("slow", "done"),
    ]
    assert told["seconds"] > 0
    assert told["peak_memory"] > 50
