"""The rooms of the kit: imports run one way, and a room says what it is for."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "rulekit"

# room: the rooms that it may import, from the lowest to the highest
ALLOWED = {
    "files": "",
    "loading": "",
    "tables": "",
    "kernels": "",
    "measures": "",
    "encoder": "files loading",
    "models": "files loading",
    "information": "kernels",
    "inputs": "files tables kernels encoder",
    "selection": "tables kernels inputs information measures",
    "labels": "files tables kernels inputs selection measures",
    "theory": "kernels information inputs selection",
    "judges": "files loading encoder models inputs",
    "rating": "files measures inputs selection labels judges.contract",
    "training": "files loading encoder models measures inputs selection labels judges",
    "benchmarks": "files loading models measures inputs selection judges training",
    "studies": "files encoder measures information inputs selection labels theory judges rating training",
    "plots": "tables",
    "exercises": "inputs",
    "runs": "files tables measures inputs judges rating",
    "throughput": "files tables encoder inputs judges training runs.pages",
    "workbench": "files tables encoder measures information inputs selection labels theory judges "
    "rating training studies plots runs",
    "cli": "files tables kernels encoder models inputs selection labels judges rating training benchmarks plots runs throughput",
}


def imports(path: Path) -> list[str]:
    """Modules of the kit that a file imports anywhere, without the leading package name."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            found += [f"{node.module}.{a.name}" for a in node.names]
    kit = [name.removeprefix("rulekit.") for name in found if name.startswith("rulekit.")]
    return [name for name in kit if name != "__version__"]


def files_of(room: str) -> list[Path]:
    single = PACKAGE / f"{room}.py"
    return [single] if single.is_file() else sorted((PACKAGE / room).rglob("*.py"))


def test_every_module_is_in_a_room_of_the_table():
    rooms = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms - {"__init__", "__main__"} == set(ALLOWED)


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_between_rooms_run_one_way(room):
    allowed = ALLOWED[room].split()
    wrong = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in files_of(room)
        for name in imports(path)
        if name.split(".")[0] != room
        and not any(name == a or name.startswith(f"{a}.") for a in allowed)
    ]
    assert not wrong


def test_the_table_itself_has_no_way_back():
    below: set[str] = set()
    for room, allowed in ALLOWED.items():
        assert {a.split(".")[0] for a in allowed.split()} <= below, room
        below.add(room)


@pytest.mark.parametrize("room", [r for r in ALLOWED if not (PACKAGE / f"{r}.py").is_file()])
def test_files_of_a_room_import_each_other_one_way(room):
    names = {
        f"{room}.{'.'.join(p.relative_to(PACKAGE / room).with_suffix('').parts)}": p
        for p in files_of(room)
        if p.name != "__init__.py"
    }
    needs = {
        name: {n for n in names for i in imports(path) if i == n or i.startswith(f"{n}.")}
        for name, path in names.items()
    }
    while needs:
        free = {name for name, wanted in needs.items() if not wanted & needs.keys()}
        assert free, f"these import each other: {sorted(needs)}"
        needs = {name: wanted for name, wanted in needs.items() if name not in free}


@pytest.mark.parametrize("room", [r for r in ALLOWED if not (PACKAGE / f"{r}.py").is_file()])
def test_a_room_says_what_comes_in_what_goes_out_and_where_to_begin(room):
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    said = " ".join(ast.get_docstring(tree).split())
    assert "come in" in said or "comes in" in said
    assert "go out" in said or "goes out" in said
    assert len(said) <= 450


def test_rule_sets_need_no_transformer_and_the_package_loads_in_a_moment():
    import subprocess
    import sys

    code = "import sys, rulekit; rulekit.RuleSet.from_texts(['It is kind.']); print({'torch', 'transformers', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
