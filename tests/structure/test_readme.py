"""What the documents show runs: Python blocks, commands, names of the kit, files they point to."""

import importlib
import re
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

import rulekit as rk
from rulekit import cli, runs
from rulekit.labels import label_methods
from rulekit.selection import estimators
from rulekit.selection.active import CRITERIA
from tests.structure.test_rooms import ALLOWED, PACKAGE

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    ".github/CONTRIBUTING.md",
    "data/README.md",
    "notebooks/README.md",
    "notebooks/METHODS.md",
    "notebooks/RESULTS.md",
    "notebooks/AT_SCALE.md",
    "notebooks/LANGUAGE_MODELS.md",
    "tests/benchmarks/README.md",
)
SHOWN = (  # with commands
    "README.md",
    "notebooks/README.md",
    "notebooks/AT_SCALE.md",
    "tests/benchmarks/README.md",
)
TEXT = {name: (ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
PROGRAMS = ("rulekit", "torchrun", "papermill", "python")


def blocks(language: str, *documents: str) -> list[str]:
    return [
        body
        for document in documents or DOCUMENTS
        for kind, body in BLOCK.findall(TEXT[document])
        if kind == language
    ]


def commands() -> list[list[str]]:
    """Words of every command of the documents, in blocks and in running text."""
    lines = [
        re.split(r"\s{2,}", line.strip())[0]
        for body in [*blocks("", *SHOWN), *blocks("bash", *SHOWN)]
        for line in re.sub(r"\\\n\s*", "", body).splitlines()
    ]
    text = "\n".join(BLOCK.sub("", TEXT[name]) for name in SHOWN)
    lines += [  # `rulekit train` and the like name a command and are none
        line
        for line in re.findall(r"`([^`\n]+)`", text)
        if not re.match(r"rulekit (?!run \w)", line)
    ]
    parts = [part for line in lines for part in line.split(" && ")]
    found = [shlex.split(p) for p in parts if Path((p.split() or [""])[0]).name in PROGRAMS]
    return [[Path(words[0]).name, *words[1:]] for words in found if len(words) > 1]


def written(program: str, *first: str) -> list[list[str]]:
    """Arguments of the README's commands that begin so, `first` among them."""
    found = [c[1:] for c in commands() if c[0] == program and c[1 : 1 + len(first)] == [*first]]
    assert found
    return found


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(d, marks=pytest.mark.slow if d == "notebooks/README.md" else ())  # trains
        for d in DOCUMENTS
        if blocks("python", d)
    ],
)
def test_python_blocks_run(document, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for block in blocks("python", document):
        exec(compile(block, document, "exec"), scope)
    if document == "README.md":
        assert "Accuracy(value=" in capsys.readouterr().out


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_of_the_kit_exist(document):
    for name in re.findall(r"\b(?:rk|rulekit)((?:\.\w+)+)", TEXT[document]):
        module, parts = rk, name.strip(".").split(".")
        if parts[-1] in ("py", "toml"):
            continue
        for part in parts:
            if not hasattr(module, part):
                importlib.import_module(f"{module.__name__}.{part}")
            module = getattr(module, part)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_a_document_points_to_exist(document):
    folder = (ROOT / document).parent
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT[document]):
        assert target.startswith("http") or (folder / target).exists(), target
    for path in re.findall(r"\b(?:tests|rulekit|notebooks|data)/[\w/]+\.\w+", TEXT[document]):
        assert (ROOT / path).exists(), path


def test_the_tree_of_files_shows_every_room_from_the_lowest_to_the_highest():
    tree = next(b for b in blocks("", "README.md") if b.startswith("rulekit/\n"))
    shown = [
        name.removesuffix(".py").rstrip("/")
        for line in tree.splitlines()[1:-1]
        for name in re.findall(
            r"[\w.]+(?:\.py|/)(?=\s)", re.split(r"\s{3,}", line.strip())[0] + " "
        )
    ]
    assert sorted(shown) == sorted(ALLOWED)
    assert all((PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file() for name in shown)


def test_the_tables_of_notebooks_have_all_of_them():
    there = sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb"))
    tools, course = ["00_workbench"], [name for name in there if name < "11"]
    table = re.findall(r"^\| `(\d\d_\w+)` \|", TEXT["README.md"], re.M)
    assert table == [name for name in course if name not in tools]
    index = re.findall(r"^\| \[(\d\d_\w+)\]\(", TEXT["notebooks/README.md"], re.M)
    assert index == [name for name in there if name not in tools]
    assert all(f"`{name}`" in TEXT["README.md"] for name in tools)
    assert len(TEXT["README.md"].splitlines()) <= 150


def test_the_commands_of_the_readme_are_found():
    found = {" ".join(c[:2]) for c in commands()}
    assert {
        "rulekit run",
        "rulekit annotate",
        "rulekit train",
        "papermill notebooks/03_selection.ipynb",
    } <= found
    assert len(commands()) >= 25


def test_every_recipe_of_the_readme_is_one_with_its_parameters(desk, monkeypatch):
    monkeypatch.chdir(desk)
    asked = []
    monkeypatch.setattr(cli.run, "run", lambda arguments: asked.append(arguments) or 0)
    for words in written("rulekit", "run"):
        assert cli.main(words) == 0
    for arguments in asked:
        steps = runs.load_recipe(arguments.recipe)["steps"]
        for name, value in arguments.p:
            given, taken = {name: yaml.safe_load(value)}, 0
            for step in steps:
                try:
                    runs.check_parameters(runs.notebook_path(step["notebook"]), given)
                    taken += 1
                except ValueError:
                    continue
            assert taken, name
    assert {a.recipe for a in asked} == {*runs.recipes(), "my-project/recipe.yaml"}


@pytest.mark.parametrize(
    "words",
    [*written("rulekit", "data"), *written("rulekit", "rules"), *written("rulekit", "label")],
    ids=" ".join,
)
def test_every_command_on_ones_own_data_runs(words, desk, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    out = ["-o", str(tmp_path / "labels.parquet")] if words[0] == "label" else []
    assert cli.main([*words, *out]) == 0
    assert capsys.readouterr().out


def test_papermill_is_shown_with_parameters_of_the_notebook():
    for words in (w for w in written("papermill") if "-p" in w):
        names, values = (words[words.index("-p") + i :: 3] for i in (1, 2))
        given = dict(zip(names, map(yaml.safe_load, values), strict=True))
        runs.check_parameters(ROOT / words[0], given)


@pytest.fixture(scope="module")
def desk(tiny_judge, tmp_path_factory) -> Path:
    """A folder with every file that the README's commands name."""
    folder = tmp_path_factory.mktemp("desk")
    pairs = rk.load_pairs("embedded").head(2)
    pairs.write_ndjson(folder / "pairs.jsonl")
    rk.load_pairs("embedded")[::40].write_parquet(folder / "pairs.parquet")  # of many prompts
    for name in ("my-model", "m"):
        (folder / name).symlink_to(tiny_judge)
    rules = rk.RuleSet.load(ROOT / "data/rules.yaml")
    indices = np.array([[0, 1, 2, 3, 4]] * 2)
    named = rk.Selection(indices, "given", 100, identity=rk.Identity.of(rules, pairs))
    rk.train_adapter(pairs, named, epochs=1).save(folder / "adapter")
    labelled = {"prompt": "Hello.", "response": "Hi.", "rule": rules.texts[0], "label": "yes"}
    pl.DataFrame([labelled, labelled | {"response": "Go away.", "label": "no"}]).write_ndjson(
        folder / "labelled.jsonl"
    )
    (folder / "my.yaml").write_text("preset: encoder-cpu\ntrain: pairs.parquet\n")
    for words in written("rulekit", "new"):
        assert cli.main(["new", str(folder / words[1])]) == 0
    return folder


@pytest.mark.parametrize("words", written("rulekit", "annotate"), ids=" ".join)
def test_every_annotate_command_runs(words, desk, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    if "server" in words:  # no server stands there: its options are read, and nothing is asked
        asked = []
        monkeypatch.setattr(cli.annotate, "run", lambda arguments: asked.append(arguments) or 0)
        assert cli.main(words) == 0
        options = {name: yaml.safe_load(value) for name, value in asked[0].o}
        monkeypatch.setenv(options.get("key_from", "NONE"), "secret")
        judge = rk.judge("server", **options)
        assert judge.limits.concurrency == options["limits"]["concurrency"]
        assert (
            judge.prices.budget == options.get("prices", {"budget": judge.prices.budget})["budget"]
        )
        return
    if "local" in words:  # a model with random weights puts little on the three answers
        words = [*words, "-o", "least_mass", "0"]
    assert cli.main([*words, "--store", str(tmp_path / "s"), "--out", str(tmp_path / "o")]) == 0
    assert any((tmp_path / "o").iterdir())


@pytest.mark.parametrize(
    "words", [*written("rulekit", "train"), *written("torchrun")], ids=" ".join
)
def test_every_training_command_plans_its_run(words, desk, monkeypatch, capsys):
    """With a small model in place of the preset's, which a hub would have to give."""
    monkeypatch.chdir(desk)
    if "-m" in words:
        module = words[words.index("-m") + 1]
        assert (PACKAGE.parent / module.replace(".", "/") / "__main__.py").is_file()
        words = ["train", *words[words.index("-m") + 2 :]]
    small = [] if "my.yaml" in words else ["-p", "model", "./my-model"]
    assert cli.main([*words, *small, "--plan"]) == 0
    assert "together" in capsys.readouterr().out


def test_the_first_command_installs_what_the_project_declares():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for body in blocks("bash", "README.md"):
        for extras in re.findall(r"'\.\[([\w,]+)\]'", body):
            assert all(re.search(rf"^{extra} = \[", text, re.M) for extra in extras.split(","))


def test_benchmarks_of_the_readme_take_the_options_shown():
    for path, *options in written("python"):
        if path.startswith("tests/"):
            source = (ROOT / path).read_text(encoding="utf-8")
            for option in (o for o in options if o.startswith("--")):
                assert f'"{option}"' in source, (path, option)


def test_the_table_of_rooms_is_the_one_that_is_checked():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \|$", TEXT[".github/CONTRIBUTING.md"], re.M)
    assert {room: re.findall(r"`([\w.]+)`", allowed) for room, allowed in rows} == {
        room: allowed.split() for room, allowed in ALLOWED.items()
    }
    assert [room for room, _ in rows] == list(ALLOWED)


def test_the_page_on_methods_has_every_method():
    parts = re.split(r"^## ", TEXT["notebooks/METHODS.md"], flags=re.M)
    sections = {part.split("\n", 1)[0]: part for part in parts}
    for title, methods in (
        ("Selectors", rk.selectors()),
        ("Label models", label_methods()),
        ("Estimates", estimators()),
        ("Choice of labels", CRITERIA),
    ):
        rows = re.findall(r"^\| `(\w+)` \|", sections[title], re.M)
        assert sorted(rows) == sorted(methods)
    cited = {
        int(n)
        for ns in re.findall(r"\[(\d+(?:, \d+)*)\]", TEXT["notebooks/METHODS.md"])
        for n in ns.split(", ")
    }
    listed = re.findall(r"^(\d+)\. ", sections["References"], re.M)
    assert sorted(cited) == [int(n) for n in listed]
