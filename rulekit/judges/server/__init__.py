"""A language model behind any OpenAI-compatible server.

Conversations and rules come in, probabilities go out. Open `judge` first; `options` checks what it
is given, `client` sends requests, `loop` runs them, `answers` reads replies, `spending` keeps the
budget, `secrets` what must not show.
"""

from rulekit.judges.server.client import Limits
from rulekit.judges.server.judge import ServerJudge
from rulekit.judges.server.spending import Prices

__all__ = ["Limits", "Prices", "ServerJudge"]
