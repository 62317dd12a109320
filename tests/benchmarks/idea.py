"""The picture of the method in the README, from the embedded corpus.

    python tests/benchmarks/idea.py [FILE]

Default: data/idea.png.
"""

import sys
from pathlib import Path

import rulekit as rk

K = 5
FILE = Path(__file__).parents[2] / "data" / "idea.png"


def draw(path: Path) -> Path:
    pairs = rk.load_pairs("embedded")
    rules = rk.RuleSet.load("embedded")
    scores = rk.annotate(pairs, rules, rk.judge("recorded", source="embedded"))
    selection = rk.select(scores, K)
    cells, sides = rk.studies.chosen_cells(pairs, scores, selection, rk.label(scores, selection))
    title = f"Each pair is decided by its own {K} rules: those with the largest |δ|, ringed"
    data, _ = rk.plots.selection_map(cells, sides, title)._repr_mimebundle_()
    path.write_bytes(data["image/png"])
    return path


if __name__ == "__main__":
    print(draw(Path(sys.argv[1]) if sys.argv[1:] else FILE))
