"""Training: the Rule Adapter that names rules, the reward model, the offline judge.

Pairs with labels or selections come in, models go out. `rule_adapter` and `reward_model` fit heads on
the frozen encoder in seconds; `engine` trains everything larger, up to 8B. Open `engine` first.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
