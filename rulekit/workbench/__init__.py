"""The workbench: tools to touch the method with, each a function that a cell calls.

Pairs, rules and scores come in; controls go out in a notebook with a browser, data and a static
picture everywhere. Open `controls` first. A module named after a tool holds its state and what
follows from it, `…_widget` its controls. What a tool shows, the library computes.
"""

from rulekit.workbench.annotation_desk_widget import desk
from rulekit.workbench.pair_explorer_widget import pairs
from rulekit.workbench.rule_explorer_widget import rules
from rulekit.workbench.rule_prototype_widget import prototype
from rulekit.workbench.run_browser_widget import runs
from rulekit.workbench.theory_lab_widget import theory

__all__ = ["desk", "pairs", "prototype", "rules", "runs", "theory"]
