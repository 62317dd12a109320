"""Models are loaded one at a time.

While transformers loads a model it exchanges methods of its classes and puts them back. Two threads
that load at once can put the exchanged ones back, and from then on no model of the process has the
weights that are tied to others: their logits are 0. Every `from_pretrained` of a model in the kit
stands under this lock, since widgets work in threads.
"""

from __future__ import annotations

import threading

ALONE = threading.RLock()
