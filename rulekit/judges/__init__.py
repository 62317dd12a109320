"""Who rates: texts and rules come in, probabilities of no, irrelevant and yes go out.

`contract` says what a judge is, `registry` gives one by its name; open these first. `encoder` works
offline, `local` asks a language model on this machine, `server` one behind a URL.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
