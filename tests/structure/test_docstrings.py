"""Docstrings match the code: parameters, returned values, errors, and the names that they mention."""

import ast
import builtins
import re
from functools import cache
from pathlib import Path

import pytest

from tests.structure.docstrings import (
    NAME,
    Function,
    Kit,
    docs_of,
    exported_names,
    fields,
    module_name,
    problems,
    read_kit,
    set_on_self,
    tree_of,
)
from tests.structure.test_rooms import ALLOWED, PACKAGE, files_of


@pytest.mark.parametrize("room", ALLOWED)
def test_docstrings_match_signature_returns_and_errors(room):
    wrong = [
        f"{path.relative_to(PACKAGE)}:{doc.node.lineno} {doc.name}: {problem}"
        for path in files_of(room)
        for doc in read_kit().of_module[module_name(path)]
        if doc.exported or "Parameters" in doc.sections
        for problem in problems(doc, module_name(path), read_kit())
    ]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("room", ALLOWED)
def test_exported_functions_and_classes_have_docstrings(room):
    wrong = []
    for path in files_of(room):
        exported = exported_names(path)
        for node in tree_of(path).body:
            if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
                continue
            if (exported is None or node.name in exported) and not ast.get_docstring(node):
                wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}")
    assert not wrong


def texts(path: Path) -> list[tuple[int, str]]:
    """Docstrings and comments of a file, with their lines."""
    documented = [n for n in ast.walk(tree_of(path)) if _has_docstring(n)]
    found = [(n.body[0].lineno, ast.get_docstring(n)) for n in documented]
    lines = path.read_text(encoding="utf-8").split("\n")
    return found + [(n, line.partition("# ")[2]) for n, line in enumerate(lines, 1)]


def quoted(text: str) -> list[str]:
    """Names in single backticks; double ones are literal text."""
    return NAME.findall(re.sub(r"``.*?``", "", text, flags=re.S))


def resolves(name: str) -> bool:
    """Whether `rulekit.a.b.c` names a module, something of a module, or something of a class."""
    path, parts = PACKAGE, name.split(".")[1:]
    while parts and (path / parts[0]).is_dir():
        path, parts = path / parts[0], parts[1:]
    if parts and (path / f"{parts[0]}.py").is_file():
        path, parts = path / f"{parts[0]}.py", parts[1:]
    if not parts:
        return True
    for face in [path] if path.is_file() else sorted(path.glob("__init__.py*")):
        names = _bound(tree_of(face).body)
        if parts[0] in names:
            node = names[parts[0]]
            inner = _attributes(node) if isinstance(node, ast.ClassDef) else None
            return len(parts) == 1 or inner is None or parts[1] in inner
    return False


def _bound(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Names that statements bind, and the statement that does."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, Function | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(a.asname or a.name): node for a in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.If | ast.Try):
            stored = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
            found |= {n.id: node for n in stored if isinstance(n.ctx, ast.Store)}
    return found


def _attributes(node: ast.ClassDef) -> set[str]:
    return {*fields(node), *set_on_self(node)}


@pytest.mark.parametrize("room", ALLOWED)
def test_dotted_names_in_docstrings_and_comments_exist(room):
    wrong = []
    for path in files_of(room):
        for line, text in texts(path):
            for name in quoted(text):
                head = name.split(".")[0]
                if "." not in name or head not in ("rulekit", *ALLOWED):
                    continue
                if not resolves(name if head == "rulekit" else f"rulekit.{name}"):
                    wrong.append(f"{path.relative_to(PACKAGE)}:{line} `{name}`")
    assert not wrong, "\n" + "\n".join(wrong)


@cache
def _words() -> set[str]:
    """Every identifier of the kit, its files and folders, and every word of its string constants."""
    words: set[str] = set(dir(builtins))
    for path in PACKAGE.rglob("*.py"):
        words |= set(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        said = {id(b.body[0].value) for b in ast.walk(tree_of(path)) if _has_docstring(b)}
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if id(node) not in said:
                    words |= set(re.findall(r"\w+", node.value))
                continue
            for part in ("id", "attr", "arg", "name", "asname", "module"):
                value = getattr(node, part, None)
                if isinstance(value, str):
                    words |= set(value.split("."))
    return words


def _has_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Module | ast.ClassDef | Function) and bool(ast.get_docstring(node))


@pytest.mark.parametrize("room", ALLOWED)
def test_names_in_backticks_occur_in_the_kit(room):
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} `{name}`"
        for path in files_of(room)
        for line, text in texts(path)
        for name in quoted(text)
        if not set(name.split(".")) <= _words()
    ]
    assert not wrong, "\n" + "\n".join(wrong)


BAD = '''
@dataclass
class Point:
    """A place.

    Attributes
    ----------
    y, z
        Where it is.
    """

    x: float
    y: float


def area(width, height, unit="m", **more):
    """Area of a rectangle

    Parameters
    ----------
    height, width
        Both sides.
    depth
        Of nothing.
    unit
        As for `nothing_that_exists`.

    Raises
    ------
    NoSuchError
        Never.
    """
    if width < 0:
        raise TypeError(width)
    return width * height


def load(path):
    """Read a file. Then do more.

    Parameters
    ----------
    path
        Of the file.
    """
    if not path:
        raise ValueError("no path")
    return path


def nothing(a, b):
    """Do nothing.

    Parameters
    ----------
    b
        Left.
    a
        Right.

    Returns
    -------
    A value.
    """
    a += b
'''


def _problems_of(source: str) -> dict[str, str]:
    docs = docs_of(ast.parse(source))
    example = Kit({"example": docs})
    return {d.name: "\n".join(problems(d, "example", example)) for d in docs}


def test_the_check_finds_what_is_wrong():
    found = _problems_of(BAD)
    assert "Attributes name z" in found["Point"]
    assert "field x is not documented" in found["Point"]
    for problem in (
        "no sentence with a full stop",
        "Parameters name depth",
        "`nothing_that_exists` documents nothing",
        "parameter more is not documented",
        "NoSuchError, which is no exception",
        "TypeError is raised",
    ):
        assert problem in found["area"]
    for problem in ("more than one sentence", "ValueError is raised", "a value is given back"):
        assert problem in found["load"]
    assert "another order" in found["nothing"]
    assert "Returns: nothing is given back" in found["nothing"]


GOOD = '''
def first(x, y, *, seed=0):
    """Sum of two numbers.

    Parameters
    ----------
    x, y
        Numbers.
    seed
        Of nothing.

    Raises
    ------
    ValueError
        For a negative x.
    """
    if x < 0:
        raise ValueError(x)
    return x + y


def second(x, y, scale, **settings):
    """Sum of two numbers, scaled, and errors as `first`.

    Parameters
    ----------
    x, y, settings
        As for `first`.
    scale
        A factor.
    """
    if scale < 0:
        raise ValueError(scale)
    return scale * first(x, y, **settings)
'''


def test_a_contract_may_be_stated_once():
    assert not any(_problems_of(GOOD).values())
    wrong = GOOD.replace("x, y\n        Numbers.", "x\n        Numbers.")
    assert "y: neither said here" in _problems_of(wrong)["second"]
