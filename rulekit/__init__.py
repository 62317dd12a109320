"""rulekit: preference labels from safety rules, chosen per pair by maximum discrepancy.

The public surface and nothing else. Every name loads its module on first use, so that
`import rulekit` costs no more than the interpreter's own start.
"""

import importlib
import sys
import types

__version__ = "0.1.0"

_MODULES = (
    "board",
    "adaptive",
    "encoder",
    "evaluate",
    "experiment",
    "information",
    "judges",
    "judging",
    "pairs",
    "plots",
    "runs",
    "sources",
    "theory",
    "training",
)
_NAMES = {
    "Estimates": "estimate",
    "Labels": "label",
    "Rule": "rules",
    "RuleSet": "rules",
    "Scores": "scores",
    "Selection": "select",
    "estimate": "estimate",
    "Store": "store",
    "annotate": "annotate",
    "annotate_adaptive": "adaptive",
    "annotate_anytime": "adaptive",
    "label": "label",
    "load_pairs": "pairs",
    "select": "select",
    "selectors": "select",
    "sign_audit": "label",
    "sign_audit_errors": "label",
    "split_pairs": "pairs",
}
__all__ = [*sorted(_NAMES), *_MODULES]


def __getattr__(name: str):
    if name in _NAMES:
        value = getattr(importlib.import_module(f"rulekit.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"rulekit.{name}")
    else:
        raise AttributeError(f"module 'rulekit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    """Keeps `rulekit.select` and `rulekit.label` the functions, not the modules of that name.

    Importing a submodule binds it as an attribute of its package; for these names the
    function is the public one, and the module stays reachable as `from rulekit.select import …`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _NAMES and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
