"""Evaluation that can be believed: models, judges and benchmarks' files come in, scorecards go out.

Open `evaluation` first; `layouts` reads the published files, `scoring` has each benchmark's own rule,
`scorers` makes a scorer of whatever scores. `comparison` sets a model against its base, `boards` on a
published board, `robustness` and `traits` ask what else its scores depend on.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
