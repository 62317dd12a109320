"""Exercises of the notebooks: a student's answer comes in, a verdict goes out.

Open `tasks` first. A cell ends in ``check("votes-flip", answer)``: not answered yet, right, or not right
with a hint that depends on the mistake.
"""

from rulekit.exercises.answers import Verdict
from rulekit.exercises.tasks import check, names

__all__ = ["Verdict", "check", "names"]
