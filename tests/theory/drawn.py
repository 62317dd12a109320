"""What property tests of the theory draw from, and the entropy of a coin."""

import math

from hypothesis import settings
from hypothesis import strategies as st

accuracies = st.lists(st.floats(0, 1), min_size=1, max_size=9)


priors = st.floats(0, 1)


quick = settings(max_examples=60, deadline=None)


def entropy(p: float) -> float:
    return -sum(x * math.log2(x) for x in (p, 1 - p) if x > 0)
