"""A reward model behind vLLM's routes on loopback: real HTTP, a rule for the score, faults on demand."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What it answers and what it has seen; `fault(n)` gives a status for the request n, or None."""

    fault: object = lambda n: None
    reply: object = None  # in place of a sound answer
    url: str = ""
    seen: list = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def reward(prompt: str, response: str) -> float:
    """Larger for a response with more letters e; the prompt counts a little."""
    return response.count("e") - 0.01 * len(prompt) + 7.25


@contextmanager
def serving(state: Served):
    """Run until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Quiet."""

        def do_GET(self):
            self.answer(200, {"data": [{"id": "tiny-reward"}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                number = len(state.seen)
                state.seen.append((self.path, body, self.headers.get("Authorization")))
            if status := state.fault(number):
                return self.answer(status, {"error": {"message": "not now"}})
            return self.answer(200, state.reply or sound(self.path, body))

        def answer(self, status, value):
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def sound(path: str, body: dict) -> dict:
    """As vLLM answers on these routes."""
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    if path == "/score":
        value = {"index": 0, "object": "score", "score": reward(body["text_1"], body["text_2"])}
    else:
        *prompt, last = body["messages"]
        assert last["role"] == "assistant"
        found = reward(prompt[-1]["content"], last["content"])
        value = {"index": 0, "label": None, "probs": [found], "num_classes": 1}
        if path == "/pooling":
            value = {"index": 0, "object": "pooling", "data": [[0.0], [found]]}
    return {"id": "x", "object": "list", "model": body["model"], "data": [value], "usage": usage}
