"""The public surface as editors, notebooks, `help` and the shell see it."""

import ast
import importlib
import inspect
import pkgutil
import pydoc
import subprocess
import sys
from pathlib import Path

import jedi
import pytest

import rulekit as rk

PACKAGE = Path(rk.__file__).parent
STUBS = ("rulekit", "rulekit.benchmarks", "rulekit.judges", "rulekit.training")
EXPECTED = {
    "Estimates",
    "Identity",
    "Incomplete",
    "Labels",
    "RewardModel",
    "RuleAdapter",
    "Rule",
    "RuleSet",
    "Scores",
    "Selection",
    "Store",
    "accuracy",
    "annotate",
    "estimate",
    "information",
    "judge",
    "judges",
    "label",
    "load_pairs",
    "measures",
    "plots",
    "exercises",
    "select",
    "selectors",
    "sources",
    "split_pairs",
    "studies",
    "theory",
    "train_adapter",
    "train_reward",
    "training",
}
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(rk.__path__, "rulekit.")
    if not module.name.endswith("__main__")
)


def stub_of(name: str) -> set[str]:
    """Names that a package's stub declares."""
    folder = PACKAGE.joinpath(*name.split(".")[1:])
    tree = ast.parse((folder / "__init__.pyi").read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            assert all(alias.asname == alias.name for alias in node.names), "not re-exported"
            found |= {alias.name for alias in node.names}
        else:
            assert isinstance(node, ast.AnnAssign)
            found.add(node.target.id)
    return found


def completions(code: str) -> set[str]:
    """What an editor that runs nothing offers behind the last dot."""
    script = f"import rulekit as rk\n{code}"
    return {c.name for c in jedi.Script(script).complete(2, len(code))}


@pytest.mark.parametrize("notebook", [False, True], ids=["editor", "notebook"])
def test_completion_offers_the_functions_and_values_of_the_kit(notebook):
    if notebook:
        offered = {c.name for c in jedi.Interpreter("rk.", [{"rk": rk}]).complete(1, 3)}
    else:
        offered = completions("rk.")
    assert offered >= EXPECTED
    assert stub_of("rulekit") - {"__version__"} <= offered


@pytest.mark.parametrize("name", ["judges", "training", "information", "measures", "inputs"])
def test_completion_offers_what_a_room_exports(name):
    assert completions(f"rk.{name}.") >= set(getattr(rk, name).__all__)


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("rk.select(", ["scores", "k", "method", "seed", "reference", "preference", "estimates"]),
        ("rk.label(", ["scores", "selection", "method", "tie", "beta", "estimates"]),
        ("rk.estimate(", ["reference", "preference", "method", "power"]),
        ("rk.load_pairs(", ["path", "skip_invalid"]),
    ],
)
def test_an_open_call_shows_its_parameters(call, parameters):
    static = jedi.Script(f"import rulekit as rk\n{call}").get_signatures(2, len(call))
    live = jedi.Interpreter(call, [{"rk": rk}]).get_signatures(1, len(call))
    for found in (static, live):
        assert [[p.name for p in signature.params if p.name != "*"] for signature in found] == [
            parameters
        ]


@pytest.mark.parametrize("name", STUBS)
def test_every_name_of_a_stub_exists_and_the_other_way_round(name):
    package, declared = importlib.import_module(name), stub_of(name)
    for each in declared:
        assert getattr(package, each) is not None
    assert set(package.__all__) == declared - {"__version__"}
    assert declared - {"__version__"} <= set(dir(package))
    for node in ast.parse(inspect.getsource(package)).body:
        assert not isinstance(node, ast.FunctionDef | ast.ClassDef), "a stub would hide it"


def test_every_name_that_a_room_exports_exists_once():
    for name in MODULES:
        room = importlib.import_module(name)
        exported = getattr(room, "__all__", [])
        assert len(set(exported)) == len(exported), name
        assert all(hasattr(room, each) for each in exported), name


def test_importing_a_module_by_its_path_gives_the_module_and_no_function_of_its_name():
    for name in MODULES:
        scope: dict[str, object] = {}
        exec(f"import {name} as found", scope)
        assert inspect.ismodule(scope["found"]), name
        assert scope["found"].__name__ == name


def test_the_package_alone_loads_nothing_but_the_standard_library_and_lazy_loader():
    code = (
        "import sys; before = set(sys.modules); import rulekit; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['lazy_loader', 'rulekit']"


def test_listing_the_names_loads_no_room():
    code = "import sys, rulekit; print(len(dir(rulekit)), 'rulekit.inputs' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    n, loaded = done.stdout.split()
    assert int(n) >= len(EXPECTED)
    assert loaded == "False"


def test_help_names_the_public_functions():
    said = pydoc.render_doc(rk, renderer=pydoc.plaintext)
    for name in ("select(scores", "label(", "load_pairs(", "class Scores", "class RuleSet"):
        assert name in said
    assert rk.__version__ in said


@pytest.mark.parametrize(
    "command",
    [[sys.executable, "-m", "rulekit"], [str(Path(sys.executable).with_name("rulekit"))]],
    ids=["module", "script"],
)
def test_the_command_prints_its_version(command):
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"rulekit {rk.__version__}"


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
    for name in STUBS:
        assert PACKAGE.joinpath(*name.split(".")[1:], "__init__.pyi").is_file()


def test_an_unknown_name_is_refused_by_name():
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        rk.nothing_of_the_kind  # noqa: B018 - the access is what is tested
