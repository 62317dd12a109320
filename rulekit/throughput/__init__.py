"""How fast this machine rates and trains with an 8B model: cases come in, one JSON and a page go out.

Open `gpu` first: it runs the cases of `cases` one after the other, each in a process of its own.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
