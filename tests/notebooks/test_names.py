"""What every notebook calls is there: names of the kit resolved without running a cell."""

import ast
import importlib
import re
from types import ModuleType

import nbformat
import pytest

import rulekit as rk
from rulekit.files import resource
from rulekit.runs import load_recipe

NOTEBOOKS = sorted(resource("notebooks").glob("*.ipynb"))


def imported(tree: ast.AST) -> dict[str, object]:
    """The kit's values that a notebook imports by name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "rulekit":
            module = importlib.import_module(node.module)
            for alias in node.names:
                found[alias.asname or alias.name] = getattr(module, alias.name)
    return found


def chain(node: ast.AST) -> list[str]:
    """`rk.theory.simulate` as its names; empty for anything else than names and dots."""
    if isinstance(node, ast.Name):
        return [node.id]
    before = chain(node.value) if isinstance(node, ast.Attribute) else []
    return [*before, node.attr] if before else []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_calls_only_names_that_the_kit_has(path):
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    tree = ast.parse("\n".join(cells))
    known = {"rk": rk, **imported(tree)}
    used = 0
    for node in ast.walk(tree):
        first, *names = chain(node) or [""]
        value = known.get(first)
        for name in names:
            if not isinstance(value, ModuleType):
                break
            assert hasattr(value, name), f"{path.name}: {ast.unparse(node)}"
            value, used = getattr(value, name), used + 1
    assert used > 3


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_parameter_is_one_annotated_line_with_its_help_behind_it(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    (cell,) = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    for line in filter(None, cell.source.split("\n")):
        assert re.fullmatch(r"\w+: [\w\[\], |]+ = .+  # .+", line), line


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_title_is_the_number_of_the_file_and_a_question(notebook):
    title = nbformat.read(notebook, as_version=4).cells[0].source.split("\n")[0]
    assert re.fullmatch(rf"# {int(notebook.stem[:2])}\. .+\?", title), title


def test_the_index_and_the_course_have_every_notebook_in_order():
    folder = resource("notebooks")
    index = (folder / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\((\d\d_\w+)\.ipynb\)", index)
    assert sorted(linked) == [path.stem for path in NOTEBOOKS]
    course = [step["notebook"] for step in load_recipe("course")["steps"]]
    assert [name[:2] for name in course] == [f"{i:02d}" for i in range(len(course))]
    assert course == linked[: len(course)]
    assert course[-1] == "10_results"
