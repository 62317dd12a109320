"""A language model behind any OpenAI-compatible server.

Conversations and rules come in, probabilities go out. Open `judge` first; `client` sends requests,
`answers` reads replies, `spending` keeps the budget.
"""
