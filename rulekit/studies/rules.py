"""Which rules say nearly the same: their texts come in, pairs of ids go out.

Whoever writes a rule set calls it, to find two rules that are one.
"""

from __future__ import annotations

import numpy as np

from rulekit.encoder import Encoder
from rulekit.inputs.rules import RuleSet


def near_duplicates(rules: RuleSet, threshold: float = 0.85) -> list[tuple[str, str, float]]:
    """Pairs of rules whose texts the offline encoder finds alike.

    Parameters
    ----------
    rules
        n_rules rules.
    threshold
        Cosine similarity in [-1, 1] from which on a pair is listed.

    Returns
    -------
    (id, id, similarity), most alike first.
    """
    vectors = Encoder.load().embed(rules.texts)  # (n_rules, dim), unit length
    similarity = np.triu(vectors @ vectors.T, k=1)
    rows, columns = np.nonzero(similarity >= threshold)
    pairs = [
        (rules.ids[i], rules.ids[j], float(similarity[i, j]))
        for i, j in zip(rows, columns, strict=True)
    ]
    return sorted(pairs, key=lambda p: -p[2])
