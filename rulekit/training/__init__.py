"""Training: the Rule Adapter that names rules, the reward model, the offline judge.

Pairs with labels or selections come in, models go out: `train_reward` and `train_adapter`, from a head
on the frozen encoder in seconds to 8B. `engine` does the work; open it first.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
