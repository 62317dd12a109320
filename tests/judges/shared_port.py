"""A server process that shares its port: `python -m tests.judges.shared_port PORT LOG [LAST]`.

The system hands each connection to one of the processes that listen, as a balancer in front of
several servers does. A line goes into LOG once it listens, and a line for every request; at request LAST it
ends without a reply.
"""

import os
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.judges.faulty_server import Server, _Handler
from tests.judges.helpers import by_rule


class Shared(ThreadingHTTPServer):
    allow_reuse_port = True
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    port, log = int(sys.argv[1]), Path(sys.argv[2])
    last = int(sys.argv[3]) if len(sys.argv) > 3 else -1
    lock, count = threading.Lock(), 0

    def note(line: str) -> None:
        nonlocal count
        with lock, log.open("a") as file:
            file.write(line + "\n")
            if count == last:
                os._exit(1)
            count += 1

    class Handler(_Handler):
        state = Server(by_rule, latency=0.05, hold=lambda: note("request"))

    with Shared(("127.0.0.1", port), Handler) as http:
        note("up")
        http.serve_forever(poll_interval=0.02)


if __name__ == "__main__":
    main()
