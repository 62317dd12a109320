"""Coroutines run to their end from plain code, also where an event loop runs already, as in Jupyter.

`judge` calls it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine


def run(coroutine: Coroutine):
    """Run to the end, beside the event loop that already runs here, if there is one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    loop, ended = asyncio.new_event_loop(), threading.Event()
    task = loop.create_task(coroutine)

    def work() -> None:
        loop.run_until_complete(asyncio.wait([task]))
        ended.set()

    try:
        threading.Thread(target=work, daemon=True).start()
        ended.wait()
    except BaseException:  # the notebook's stop button
        loop.call_soon_threadsafe(task.cancel)
        ended.wait()
        raise
    finally:
        if ended.is_set():  # not after a second press
            loop.close()
    return task.result()
