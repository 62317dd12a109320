"""Who rates: texts and rules come in, probabilities of no, irrelevant and yes go out.

`contract` says what a judge is, `registry` gives one by its name; open these first. `recorded`
replays a data set, `encoder` works offline, `local` asks a language model on this machine, `server`
one behind a URL; `prompts` has their words, `texts` what may stand in them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
