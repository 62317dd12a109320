"""`rulekit store`: files of ratings checked, merged, and written as data sets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True)
    check = actions.add_parser("check", help="read everything, and say what is damaged")
    check.add_argument("files", nargs="+", metavar="FILE")
    merge = actions.add_parser(
        "merge", help="take over the ratings of other files, such as those of several machines"
    )
    merge.add_argument("into", metavar="INTO", help="made if it is not there; its ratings stand")
    merge.add_argument("files", nargs="+", metavar="FROM")
    export = actions.add_parser("export", help="write a Hugging Face data set folder of a judge")
    export.add_argument("file", metavar="FILE")
    export.add_argument("folder", metavar="FOLDER")
    export.add_argument("--judge", metavar="IDENTITY", help="whose ratings, if there are several")


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status: 0 done, 1 it failed or a file is damaged, 2 bad arguments, 130 interrupted."""
    action = {"check": _check, "merge": _merge, "export": _export}[arguments.action]
    try:
        return action(arguments)
    except FileNotFoundError as error:
        return _say(str(error), 2)
    except OSError as error:
        return _say(str(error), 1)
    except ValueError as error:
        return _say(str(error), 2)
    except KeyboardInterrupt:
        return _say("interrupted", 130)


def _check(arguments: argparse.Namespace) -> int:
    status = 0
    for file in arguments.files:
        try:
            with _opened(file) as store:
                found = store.check()
        except (ValueError, OSError) as error:
            status = _say(str(error), 1)
            continue
        print(
            f"{file}: {found['ratings']:,} ratings of {found['responses']:,} responses under "
            f"{found['rules']:,} rules by {found['judges']:,} judge{'s'[: found['judges'] != 1]}, {found['bytes']:,} bytes; "
            "all as written"
        )
    return status


def _merge(arguments: argparse.Namespace) -> int:
    from rulekit.rating.store import Store

    for file in arguments.files:
        _there(file)
    with Store(arguments.into) as store:
        for file in arguments.files:
            print(f"{file}: {store.merge(file):,} ratings taken over")
        print(f"{arguments.into}: {len(store):,} ratings")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from rulekit.rating.export import write_stored

    with _opened(arguments.file) as store:
        write_stored(store, arguments.folder, judge=arguments.judge)
    print(f"data set: {arguments.folder}")
    return 0


def _opened(file: str):
    from rulekit.rating.store import Store

    return Store(_there(file))


def _there(file: str) -> str:
    if not Path(file).exists():
        raise FileNotFoundError(f"no such file: {file}")
    return file


def _say(message: str, status: int) -> int:
    print(f"rulekit: {message}", file=sys.stderr)
    return status
