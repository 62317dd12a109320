"""A chat-completions server on loopback that answers by a stated rule and fails on demand.

A test hands over `answer` (what a good reply says) and `fault` (which request goes wrong, and
how); requests come in over real HTTP and are kept, with their times, for the test to look at.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Distribution = dict[str, float]  # token → probability of the first generated token
_LONGEST_HANG = 20.0  # seconds; a test that forgets a client's timeout still ends


@dataclass
class Server:
    """What the server does and what it has seen.

    `fault(n, body)` gets the number of the request, from 0, and its body, and names a fault or
    gives None; `answer(body)` gives the distribution of the first token.
    """

    answer: Callable[[dict], Distribution]
    fault: Callable[[int, dict], str | None] = lambda n, body: None
    logprobs: bool = True
    usage: bool = True
    one_a_request: bool = False  # as some servers, ignore `n`
    added: int = 0  # tokens of a system prompt of the server's own
    written: int = 1  # tokens an answer, whatever the request allows
    model: str = ""  # what it says it is; the name it was asked for by default
    fingerprint: str | None = None
    finish: str = "length"  # why each answer ends
    latency: float = 0.0
    hold: Callable[[], object] = lambda: None  # called before each sound reply
    retry_after: str = "0.3"
    url: str = ""
    elsewhere: str = ""
    faults: int = 0
    requests: list[dict] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def text(self, request: dict) -> str:
        """All of a request's messages as one text."""
        return "\n".join(m["content"] for m in request["messages"])


@contextmanager
def serve(server: Server) -> Iterator[Server]:
    """Run the server on a free loopback port; it ends with the block."""

    class Bound(_Handler):
        state = server

    http = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet: the tests look at `requests`."""

    def do_POST(self) -> None:
        state = self.state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with state.lock:
            number = len(state.requests)
            state.requests.append(body | {"_authorization": self.headers.get("Authorization")})
            state.times.append(time.monotonic())
            state.in_flight += 1
            state.most_in_flight = max(state.most_in_flight, state.in_flight)
        self.in_flight = True
        try:
            state.stop.wait(state.latency)
            fault = state.fault(number, body)
            if fault is None:
                state.hold()
                self._reply(200, self._completion(body))
            else:
                with state.lock:
                    state.faults += 1
                getattr(self, f"_fault_{fault}")(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client gave up first
        finally:
            self._leave()

    def _leave(self) -> None:
        """Count the request out: before its reply is written, for the next may then come."""
        with self.state.lock:
            self.state.in_flight -= self.in_flight
        self.in_flight = False

    def _reply(self, status: int, content: dict | str, **headers: str) -> None:
        self._leave()
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", headers.pop("content_type", "application/json"))
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def _completion(self, body: dict, distribution: Distribution | None = None) -> dict:
        distribution = distribution or self.state.answer(body)
        tokens = sorted(distribution.items(), key=lambda t: -t[1])
        choices = []
        for index in range(1 if self.state.one_a_request else body.get("n") or 1):
            drawn = _draw(tokens, (body.get("seed") or 0) + index + 1)
            text = drawn if "n" in body else tokens[0][0]
            choice = {
                "index": index,
                "finish_reason": self.state.finish,
                "message": {"role": "assistant", "content": text},
            }
            if body.get("logprobs") and self.state.logprobs:
                top = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in tokens]
                choice["logprobs"] = {
                    "content": [top[0] | {"top_logprobs": top[: body["top_logprobs"]]}]
                }
            choices.append(choice)
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": self.state.model or body["model"],
            "system_fingerprint": self.state.fingerprint,
            "choices": choices,
        }
        if self.state.usage:
            reply["usage"] = {
                "prompt_tokens": self.state.added + len(self.state.text(body)) // 4,
                "completion_tokens": self.state.written * len(choices),
                "total_tokens": 0,
            }
        return reply

    def _fault_rate_limited(self, body: dict) -> None:
        error = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
        self._reply(429, error, Retry_After=self.state.retry_after)

    def _fault_no_quota(self, body: dict) -> None:
        self._reply(429, {"error": {"message": "no credit left", "code": "insufficient_quota"}})

    def _fault_broken(self, body: dict) -> None:
        self._reply(500, {"error": {"message": "out of order"}})

    def _fault_hang(self, body: dict) -> None:
        self.state.stop.wait(_LONGEST_HANG)
        self.close_connection = True

    def _fault_drip(self, body: dict) -> None:
        """Every byte comes in time, the reply never does."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        end = time.monotonic() + _LONGEST_HANG
        while time.monotonic() < end and not self.state.stop.wait(0.1):
            self.wfile.write(b" ")
            self.wfile.flush()

    def _fault_cut(self, body: dict) -> None:
        """Half a reply, then a reset connection."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"id": "1", "choi')
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)  # close sends a reset, not an orderly end
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def _fault_malformed(self, body: dict) -> None:
        self._reply(200, '{"id": "1", "choices": [{"ind')

    def _fault_page(self, body: dict) -> None:
        """What a proxy in front of a server that restarts likes to say."""
        self._reply(200, "<html>back soon</html>", content_type="text/html")

    def _fault_no_choices(self, body: dict) -> None:
        self._reply(200, {"id": "1", "object": "chat.completion", "choices": None})

    def _fault_no_logprobs(self, body: dict) -> None:
        self._reply(200, self._completion(body | {"logprobs": False}))

    def _fault_chatter(self, body: dict) -> None:
        self._reply(200, self._completion(body, {"Certainly": 0.9, "!": 0.1}))

    def _fault_unauthorised(self, body: dict) -> None:
        """Some servers quote the key they refuse."""
        key = self.headers.get("Authorization", "")
        self._reply(401, {"error": {"message": f"wrong key: {key}"}})

    def _fault_forbidden(self, body: dict) -> None:
        """What moderation says to one prompt, and what a key without rights hears to all."""
        self._reply(403, {"error": {"message": "flagged: violence"}})

    def _fault_unfound(self, body: dict) -> None:
        self._reply(404, {"error": {"message": "no such thing"}})

    def _fault_unpaid(self, body: dict) -> None:
        self._reply(402, {"error": {"message": "insufficient credits"}})

    def _fault_one_at_a_time(self, body: dict) -> None:
        if body.get("n", 1) > 1:
            self._reply(400, {"error": {"message": "Field 'n': must be 1"}})
        else:
            self._reply(200, self._completion(body))

    def _fault_old(self, body: dict) -> None:
        """A server from before `max_completion_tokens`."""
        if "max_completion_tokens" in body:
            message = "Unrecognized request argument supplied: max_completion_tokens"
            self._reply(400, {"error": {"message": message}})
        else:
            self._reply(200, self._completion(body))

    def _fault_bad_request(self, body: dict) -> None:
        key = self.headers.get("Authorization", "")
        self._reply(400, {"error": {"message": f"context too long for {key}"}})

    def _fault_quotes(self, body: dict) -> None:
        """Some servers quote what they refuse."""
        quoted = json.dumps({k: v for k, v in body.items() if k != "messages"})
        self._reply(400, {"error": {"message": f"not allowed: {quoted}"}})

    def _fault_five_at_most(self, body: dict) -> None:
        self._at_most_five(body, 400, "Requested sample logprobs of 20, greater than the max: 5")

    def _fault_five_validated(self, body: dict) -> None:
        """It names no field."""
        self._at_most_five(body, 422, "Input should be less than or equal to 5")

    def _fault_five_in_detail(self, body: dict) -> None:
        """It names the field far behind."""
        where = {"loc": ["body", "x" * 300, "top_logprobs"]}
        self._at_most_five(body, 400, f"1 error: {json.dumps(where)}")

    def _at_most_five(self, body: dict, status: int, message: str) -> None:
        if body.get("top_logprobs", 0) > 5:
            self._reply(status, {"error": {"message": message}})
        else:
            self._reply(200, self._completion(body))

    def _fault_refuses_logprobs(self, body: dict) -> None:
        if body.get("logprobs"):
            self._reply(400, {"error": {"message": "logprobs are not supported"}})
        else:
            self._reply(200, self._completion(body))

    def _fault_moved(self, body: dict) -> None:
        self._reply(307, {}, Location=f"{self.state.elsewhere}/chat/completions")


def _draw(tokens: list[tuple[str, float]], number: int) -> str:
    """Tokens in turn, each as often as its probability says: the golden ratio's sequence."""
    u = number * (math.sqrt(5) - 1) / 2 % 1
    for token, p in tokens:
        u -= p
        if u < 0:
            return token
    return tokens[-1][0]
