"""rulekit: preference labels from safety rules, chosen per pair by maximum discrepancy.

The public surface and nothing else; `__init__.pyi` lists it for editors. Every name loads its room
on first use, so that `import rulekit` costs no more than the interpreter's own start.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
