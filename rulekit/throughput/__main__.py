"""One case of `rulekit bench gpu` in a process of its own: `python -m rulekit.throughput CASE FILE`.

Writes the figures as JSON into FILE: `measured` with them, `refused` or `failed` with the reason.
"""

from __future__ import annotations

import argparse
import sys

from rulekit.files import write_json
from rulekit.throughput.cases import CASES, Refused, Setting


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rulekit.throughput")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("file")
    parser.add_argument("--size", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--peak", type=float)
    given = parser.parse_args()
    setting = Setting(given.size, given.pairs, given.peak, given.steps)
    try:
        found = {"status": "measured"} | CASES[given.case].run(setting)
    except Refused as error:
        found = {"status": "refused", "reason": str(error)}
    except Exception as error:
        told = str(error).strip().split("\n")[0][:300]
        found = {"status": "failed", "reason": f"{type(error).__name__}: {told}".rstrip(": ")}
    write_json(given.file, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
