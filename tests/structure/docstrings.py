"""What docstrings say, and where it is not what the code does: read from the source, nothing runs.

`read_kit` reads the documented names of all rooms; `problems` compares one docstring with its signature,
its returned values and its errors. `test_docstrings` calls both.
"""

import ast
import builtins
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.structure.test_rooms import ALLOWED, PACKAGE, files_of

Function = ast.FunctionDef | ast.AsyncFunctionDef
# A contract stated once: 'As for `annotate`', 'as `Rater.rate` says', 'those of `difference`'.
_NAMES = r"((?:`[\w.]+`(?:,? and |, )?)+)"
_FOR = rf"\b(?:as for|as in|those of)\s+{_NAMES}"
OF_A_PARAMETER = re.compile(rf"^as\s+{_NAMES}|{_FOR}", re.I)
OF_THE_WHOLE = re.compile(
    rf"(?<!such )\bas\s+{_NAMES}(?=[.,;:)]|$| says| states)|{_FOR}", re.I
)  # not 'such as `sum`', 'as `pack` gives them'
NAME = re.compile(r"`([A-Za-z_][\w.]*)`")
# A first line that begins so says what is done, not what is given back.
DOES = re.compile(
    "add|append|ask|build|call|compare|continue|distil|do|draw|estimate|execute|fill|find|fit|go|"
    "keep|leave|load|make|measure|merge|move|note|pick|put|raise|rate|read|refuse|resume|run|save|"
    "score|show|sort|split|start|state|step|stop|store|take|train|try|turn|write",
    re.I,
)


@dataclass
class Doc:
    """A documented function, method or class."""

    name: str  # `function`, `Class` or `Class.method`
    node: Function | ast.ClassDef
    text: str
    owner: str = ""  # class of a method
    exported: bool = False
    sections: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self):
        self.sections = sections(self.text)

    @property
    def summary(self) -> str:
        return self.text.split("\n", 1)[0]

    def entries(self, *titles: str) -> list[tuple[list[str], str]]:
        return [entry for title in titles for entry in entries(self.sections.get(title, []))]

    def documented(self) -> list[str]:
        return [name for names, _ in self.entries("Parameters", "Attributes") for name in names]


def sections(text: str) -> dict[str, list[str]]:
    """Lines of a docstring by the underlined title above them; the first lines have none."""
    found, title = {"": []}, ""
    lines = text.split("\n")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if re.fullmatch("-{3,}", following) and len(following) == len(line):
            title = line
            found[title] = []
        elif not re.fullmatch("-{3,}", line):
            found[title].append(line)
    return found


def entries(lines: list[str]) -> list[tuple[list[str], str]]:
    """Names, several on a line allowed, and the indented text below them."""
    found: list[tuple[list[str], str]] = []
    for line in lines:
        if line and not line.startswith(" "):
            found.append((re.split(r",\s*", line.split(" : ")[0].replace("*", "")), ""))
        elif found:
            found[-1] = found[-1][0], f"{found[-1][1]} {line.strip()}".strip()
    return found


def references(text: str, pattern: re.Pattern = OF_A_PARAMETER) -> list[str]:
    """Names that a text points to for what it does not say itself."""
    found = pattern.findall(" ".join(text.split()))
    return [name for groups in found for said in groups for name in NAME.findall(said)]


def docs_of(tree: ast.Module, exported: set[str] | None = None) -> list[Doc]:
    """What a module documents; `exported` are the names that its room offers, None means all."""
    found = []
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        offered = exported is None or node.name in exported
        found.append(Doc(node.name, node, ast.get_docstring(node) or "", exported=offered))
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, Function) and not method.name.startswith("_"):
                    text = ast.get_docstring(method) or ""
                    name = f"{node.name}.{method.name}"
                    found.append(Doc(name, method, text, owner=node.name, exported=offered))
    return [d for d in found if d.text]


def parameters(function: Function) -> list[str]:
    a = function.args
    inner = [*a.posonlyargs, *a.args]
    names = [x.arg for x in inner if x.arg not in ("self", "cls")]
    names += [x.arg for x in (a.vararg, *a.kwonlyargs, a.kwarg) if x is not None]
    return [n for n in names if not n.startswith("_")]


def fields(node: ast.ClassDef) -> dict[str, bool]:
    """Annotated fields without underscore: whether one may be given when an instance is made."""
    found = {}
    for part in node.body:
        if not isinstance(part, ast.AnnAssign) or "ClassVar" in ast.unparse(part.annotation):
            continue
        if not part.target.id.startswith("_"):
            given = "init=False" not in (ast.unparse(part.value) if part.value else "")
            found[part.target.id] = given
    return found


def own_statements(body: list[ast.stmt]):
    """All nodes of a body but those of functions and classes inside it."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))


def raised(node: Function | ast.ClassDef) -> set[str]:
    """Exception classes that a function raises by name, or a class while an instance is made."""
    body = node.body
    if isinstance(node, ast.ClassDef):
        made = [m for m in body if isinstance(m, Function)]
        body = [s for m in made if m.name in ("__init__", "__post_init__") for s in m.body]
    found = set()
    for part in own_statements(body):
        if isinstance(part, ast.Raise) and part.exc is not None:
            error = part.exc.func if isinstance(part.exc, ast.Call) else part.exc
            name = ast.unparse(error).split(".")[-1]
            if name[:1].isupper():
                found.add(name)
    return found


def gives(node: Function) -> bool:
    """Whether a function gives a value back, or yields some."""
    parts = list(own_statements(node.body))
    if any(isinstance(p, ast.Yield | ast.YieldFrom) for p in parts):
        return True
    values = [p.value for p in parts if isinstance(p, ast.Return) and p.value is not None]
    return any(not (isinstance(v, ast.Constant) and v.value is None) for v in values)


class Kit:
    """Documented names, to follow 'as for `other`'."""

    def __init__(self, docs: dict[str, list[Doc]]):
        self.of_module = docs
        self.all = [d for group in docs.values() for d in group]

    def named(self, reference: str, module: str, owner: str) -> Doc | None:
        """The nearest documented thing of a name: of the class, of the module, of the kit."""
        for name, where in (
            (f"{owner}.{reference}", self.of_module[module]),
            (reference, self.of_module[module]),
            (reference, self.all),
        ):
            tail = name.split(".")
            for wanted in (".".join(tail[-2:]), tail[-1]):
                found = [d for d in where if d.name == wanted]
                if found:
                    return max(found, key=lambda d: len(d.documented()))
        return None

    def module_of(self, doc: Doc) -> str:
        return next(m for m, group in self.of_module.items() if any(d is doc for d in group))

    def elsewhere(self, doc: Doc, names: list[str]) -> list[Doc]:
        """What the references of a docstring are to."""
        found = (self.named(n, self.module_of(doc), doc.owner) for n in names)
        return [d for d in found if d is not None]

    def states_parameter(self, doc: Doc, name: str, seen: tuple = ()) -> bool:
        if id(doc) in seen:
            return False
        for names, text in doc.entries("Parameters", "Attributes"):
            if name in names:
                if not references(text) or name in re.findall(r"\w+", text):
                    return True
                others = self.elsewhere(doc, references(text))
                return any(self.states_parameter(o, name, (*seen, id(doc))) for o in others)
        whole = self.elsewhere(doc, references(doc.text, OF_THE_WHOLE))
        return any(self.states_parameter(o, name, (*seen, id(doc))) for o in whole)

    def states_error(self, doc: Doc, error: str, seen: tuple = ()) -> bool:
        if id(doc) in seen:
            return False
        if error in [name for names, _ in doc.entries("Raises") for name in names]:
            return True
        others = self.elsewhere(doc, references(doc.text, OF_THE_WHOLE))
        return any(self.states_error(o, error, (*seen, id(doc))) for o in others)


def problems(doc: Doc, module: str, kit: Kit) -> list[str]:
    """What a docstring says wrongly or leaves out, in words."""
    found = []
    if not doc.summary.endswith((".", "?", "…")):
        found.append(f"the first line is no sentence with a full stop: {doc.summary!r}")
    if re.search(r"(?<!\b[A-Z])[.?!] [A-Z]", doc.summary):
        found.append(f"the first line is more than one sentence: {doc.summary!r}")
    if isinstance(doc.node, ast.ClassDef):
        found += _class_problems(doc)
    else:
        found += _signature_problems(doc, module, kit)
        found += _return_problems(doc)
    return found + _error_problems(doc, kit)


def _class_problems(doc: Doc) -> list[str]:
    own = fields(doc.node)
    made = [m for m in doc.node.body if isinstance(m, Function) and m.name == "__init__"]
    takes = parameters(made[0]) if made else [name for name, given in own.items() if given]
    found = []
    if "Parameters" in doc.sections:
        found += _compared(doc.entries("Parameters"), takes, "Parameters")
        missing = [n for n in takes if n not in doc.documented()]
        found += [f"parameter {n} is not documented" for n in missing]
    if "Attributes" in doc.sections:
        said = [n for names, _ in doc.entries("Attributes") for n in names]
        known = {*own, *takes, *set_on_self(doc.node)}
        found += [f"Attributes name {n}, which there is not" for n in said if n not in known]
        if not made:
            found += _compared(doc.entries("Attributes"), list(own), "Attributes")
            found += [f"field {n} is not documented" for n in own if n not in doc.documented()]
    return found


def set_on_self(node: ast.ClassDef) -> set[str]:
    stored = {
        p.attr
        for p in ast.walk(node)
        if isinstance(p, ast.Attribute) and isinstance(p.ctx, ast.Store)
    }
    return stored | {m.name for m in node.body if isinstance(m, Function)}


def _compared(said: list[tuple[list[str], str]], takes: list[str], title: str) -> list[str]:
    """Names that are none of the signature's, and those out of its order.

    A line may name what stands further behind, as `config, overrides`; lines follow the signature
    by the first of their names, and so do the names of a line.
    """
    found = [
        f"{title} name {n}, which is not taken" for ns, _ in said for n in ns if n not in takes
    ]
    if found:
        return found
    firsts = [names[0] for names, _ in said]
    for line in (firsts, *(names for names, _ in said)):
        if line != sorted(line, key=takes.index):
            found.append(f"{title} name {', '.join(line)} in another order than the signature")
    every = [n for names, _ in said for n in names]
    return found + [f"{title} name {n} twice" for n in set(every) if every.count(n) > 1]


def _signature_problems(doc: Doc, module: str, kit: Kit) -> list[str]:
    takes, said = parameters(doc.node), doc.entries("Parameters")
    if "Parameters" not in doc.sections:
        said = re.compile("|".join(rf"\b{n}s?\b" for n in takes), re.I)
        words = {w.lower().removesuffix("s") for w in said.findall(doc.text)}
        silent = [n for n in takes if n.lower().removesuffix("s") not in words]
        silent = [n for n in silent if not kit.states_parameter(doc, n)]
        return [f"{', '.join(silent)}: not said what it is"] if silent and len(takes) > 2 else []
    rest = getattr(doc.node.args.kwarg, "arg", None)  # stands for parameters by their own names
    found = _compared(said, takes, "Parameters")
    for names, text in said:
        for reference in references(text):
            if kit.named(reference, module, doc.owner) is None:
                found.append(f"{', '.join(names)}: `{reference}` documents nothing")
        found += [
            f"{n}: neither said here nor where it points to: {text[:60]!r}"
            for n in names
            if n in takes and n != rest and not kit.states_parameter(doc, n)
        ]
    return found + [
        f"parameter {n} is not documented"
        for n in takes
        if n not in doc.documented() and not kit.states_parameter(doc, n)
    ]


def _return_problems(doc: Doc) -> list[str]:
    title = next((t for t in ("Returns", "Yields") if t in doc.sections), None)
    if title is not None:
        return [] if gives(doc.node) or _stub(doc.node) else [f"{title}: nothing is given back"]
    does = DOES.fullmatch(doc.summary.split(" ")[0])
    said = re.search(r"returns|gives|yields", doc.text) or references(
        "\n".join(doc.sections[""]), OF_THE_WHOLE
    )
    if does and gives(doc.node) and "Parameters" in doc.sections and not said:
        return ["a value is given back, and neither a section nor a sentence says which"]
    return []


def _stub(node: Function) -> bool:
    """Whether a protocol only declares it: a docstring is all that it has."""
    return len(node.body) == 1


def _error_problems(doc: Doc, kit: Kit) -> list[str]:
    found = []
    for names, _ in doc.entries("Raises"):
        found += [f"Raises names {n}, which is no exception" for n in names if not _is_error(n)]
    for error in sorted(raised(doc.node)):
        told = "Raises" in doc.sections or error == "ValueError"
        if told and not kit.states_error(doc, error):
            found.append(f"{error} is raised, and Raises does not name it")
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _errors_of_the_kit() -> set[str]:
    nodes = [n for p in PACKAGE.rglob("*.py") for n in ast.walk(tree_of(p))]
    return {n.name for n in nodes if isinstance(n, ast.ClassDef)}


def _is_error(name: str) -> bool:
    known = getattr(builtins, name, None)
    if isinstance(known, type) and issubclass(known, BaseException):
        return True
    return name in _errors_of_the_kit()


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


@cache
def exported_names(path: Path) -> set[str] | None:
    """Names of a module that its room offers; None for a room of one file, which is its own face."""
    room = path.relative_to(PACKAGE).parts[0]
    if room == path.name:
        return None
    names: set[str] = set()
    for face in (PACKAGE / room).glob("__init__.py*"):
        if face == path:
            return None
        for node in tree_of(face).body:
            if isinstance(node, ast.ImportFrom):
                module = f"{'rulekit.' + room if node.level else ''}.{node.module}".strip(".")
                names |= {a.name for a in node.names} if module == module_name(path) else set()
    return names


@cache
def read_kit() -> Kit:
    docs = {}
    for room in ALLOWED:
        for path in files_of(room):
            docs[module_name(path)] = docs_of(tree_of(path), exported_names(path))
    return Kit(docs)
