"""What is installed, which device there is, and what is missing for what, with the remedy."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.table import Table

import graft

DISTRIBUTION = "graft-models"

NEEDED_FOR = {
    "accelerate": "loading large models",
    "diffusers": "every diffusion model",
    "huggingface-hub": "models and data by hub id",
    "jaxtyping": "the shapes in signatures",
    "langcodes": "the tool mt",
    "matplotlib": "plots of a run",
    "numpy": "arrays and intervals",
    "opencv-python-headless": "edges of pictures",
    "packaging": "this report",
    "peft": "finetuning with LoRA",
    "pillow": "pictures",
    "py3langid": "the tool mt",
    "pyarrow": "shards and corpora in Parquet",
    "pydantic": "recipes",
    "python-dateutil": "dates in texts",
    "rich": "tables and progress bars",
    "safetensors": "weights",
    "scikit-image": "comparing pictures",
    "tokenizers": "words to tokens",
    "torch": "every model",
    "transformers": "every language model",
    "typer": "the command line",
    "datasets": "corpora by hub id",
    "ctranslate2": "translation by fast models, make test",
    "sentencepiece": "translation by models, such as NLLB",
    "mcp": "tools of MCP servers, make test",
    "httpx2": "tools of HTTP services, make test",
    "jsonschema": "tools of servers and services, make test",
    "pyyaml": "tools of HTTP services, make test",
    "mwparserfromhell": "search in Wikipedia dumps, make test",
    "libzim": "search in ZIM files, make test",
    "tantivy": "search in millions of paragraphs, make test",
    "basedpyright": "make check",
    "beartype": "make test",
    "bm25s": "benchmarks/search.py",
    "hypothesis": "make test",
    "import-linter": "make check",
    "pyarrow-stubs": "make check",
    "pystemmer": "benchmarks/search.py",
    "pytest": "make test",
    "pytest-timeout": "make test",
    "pytest-xdist": "make test",
    "ruff": "make check",
    "simpleeval": "make test",
}
"""What would not work without a requirement, by its canonical name."""

SEEDLINGS = {
    "language": ("model.safetensors", "graft demo"),
    "diffusion": ("unet/diffusion_pytorch_model.safetensors", "graft demo"),
}
"""A file of weights of each seedling, and what would not work without it, by its folder."""

_VARIABLES = {
    "HF_HUB_OFFLINE": "1 keeps every command off the network",
    "HF_HOME": "where models by hub id are kept",
    "OMP_NUM_THREADS": "the cores that torch takes; all by default",
    "OMP_WAIT_POLICY": "PASSIVE keeps small models fast on few cores",
}
_EXTRAS = ("hub", "mt", "wikipedia", "zim", "tantivy", "dev")
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `remedy` is a command or a variable to set, where one helps.

    A `missing` finding breaks what it is `needed_for`; a `note` only limits it.
    """

    name: str
    state: Literal["ok", "note", "missing"]
    found: str
    needed_for: str = ""
    remedy: str = ""


def examine() -> list[Finding]:
    """Everything worth knowing about this installation and this machine. Downloads nothing."""
    return [
        *_python(),
        *_requirements(),
        *_torch(),
        *_machine(),
        *_variables(),
        *_seedlings(),
        translation(),
    ]


def render(findings: list[Finding]) -> Table:
    """The report as a table, worst findings visible at the left edge."""
    table = Table(title="graft doctor", title_justify="left")
    table.add_column("")
    table.add_column("what", no_wrap=True)
    table.add_column("found")
    table.add_column("needed for")
    table.add_column("remedy")
    marks = {"ok": "[green]ok", "note": "[yellow]note", "missing": "[red]missing"}
    for finding in findings:
        texts = (finding.name, finding.found, finding.needed_for, finding.remedy)
        table.add_row(marks[finding.state], *(text.replace("[", r"\[") for text in texts))
    return table


def _python() -> Iterator[Finding]:
    yield Finding("graft", "ok", f"{_version(DISTRIBUTION) or 'not installed'}, {_home()}")
    old = sys.version_info < (3, 11)
    remedy = "install Python 3.11 or newer" if old else ""
    found = f"{platform.python_version()} on {platform.platform(terse=True)}"
    yield Finding("python", "missing" if old else "ok", found, "everything", remedy)


def _requirements() -> Iterator[Finding]:
    """One finding per requirement of the installed package, those of its extras included."""
    for line in importlib.metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        extra = next((name for name in _EXTRAS if _belongs(requirement, name)), "")
        yield judge(Requirement(line.partition(";")[0]), _version(requirement.name), extra)


def _belongs(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and not marker.evaluate() and marker.evaluate({"extra": extra})


def judge(requirement: Requirement, version: str | None, extra: str = "") -> Finding:
    """What an installed `version`, or None, means for a requirement of `extra`."""
    name = canonicalize_name(requirement.name)
    purpose = NEEDED_FOR.get(name, "")
    package = f"{DISTRIBUTION}[{extra}]" if extra else DISTRIBUTION
    absent = "note" if extra else "missing"
    if version is None:
        return Finding(name, absent, "not installed", purpose, f'pip install "{package}"')
    if not requirement.specifier.contains(version, prereleases=True):
        found = f"{version}, needs {requirement.specifier}"
        return Finding(name, absent, found, purpose, f'pip install "{requirement}"')
    return Finding(name, "ok", version, purpose)


def _torch() -> Iterator[Finding]:
    """The device and the threads; torch is imported here, for it may be what is missing."""
    try:
        import torch
    except ImportError as error:
        remedy = f'pip install "{DISTRIBUTION}"'
        yield Finding("device", "missing", f"no torch: {error}", "every model", remedy)
        return
    yield Finding("threads", "ok", f"{torch.get_num_threads()} taken by torch")
    purpose = "speed of large models"
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / _GIB
        found = f"cuda: {torch.cuda.get_device_name(0)}, {memory:.0f} GiB"
        yield Finding("device", "ok", found, purpose)
    elif torch.backends.mps.is_available():
        yield Finding("device", "ok", "mps: Apple GPU", purpose)
    elif shutil.which("nvidia-smi") and not torch.version.cuda:
        remedy = "pip install --force-reinstall torch"
        yield Finding(
            "device", "note", "cpu: this torch is built without cuda", purpose, remedy
        )
    else:
        yield Finding("device", "ok", "cpu: no GPU that torch can use", purpose)


def _machine() -> Iterator[Finding]:
    yield Finding("cores", "ok", str(_cores()))
    memory = _memory_bytes()
    if memory is not None:
        yield _enough("memory", memory, 4, "graft demo", "close other programs")
    free = shutil.disk_usage(Path.cwd()).free
    yield _enough("disk", free, 1, "runs in this folder", "free some space")


def _enough(name: str, found: int, least: int, purpose: str, remedy: str) -> Finding:
    """A finding about so many bytes, of which `least` GiB should be there."""
    size = f"{found / _GIB:.1f} GiB"
    if found < least * _GIB:
        return Finding(name, "note", f"{size}, less than {least} GiB", purpose, remedy)
    return Finding(name, "ok", size, purpose)


def _cores() -> int:
    """The cores this process may use, where the system tells."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _memory_bytes() -> int | None:
    """The machine's memory, where the system tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _variables() -> Iterator[Finding]:
    for name, purpose in _VARIABLES.items():
        yield Finding(name, "ok", os.environ.get(name, "not set"), purpose)


def _seedlings() -> Iterator[Finding]:
    for name, (file, purpose) in SEEDLINGS.items():
        yield seedling(name, _home() / "models" / "seedlings" / name / file, purpose)


def seedling(name: str, weights: Path, purpose: str) -> Finding:
    """Whether the weights of the embedded model `name` are there."""
    title = f"seedling {name}"
    if not weights.is_file():
        remedy = f"graft seedling grow {name}"
        return Finding(title, "missing", f"no {weights}", purpose, remedy)
    return Finding(title, "ok", f"{weights.stat().st_size / 2**20:.1f} MiB", purpose)


def translation() -> Finding:
    """The offline engine of the tool mt, and what it translates into English."""
    from graft.errors import ConfigError
    from graft.toolformer.tools.apertium import PACKAGES, find_apertium

    name, purpose = "apertium", "the tool mt"
    try:
        languages = sorted(find_apertium().languages)
    except ConfigError as error:
        return Finding(name, "note", str(error).partition(";")[0], purpose, PACKAGES)
    return Finding(name, "ok", f"{', '.join(languages)} into English", purpose)


def _home() -> Path:
    return Path(graft.__file__).parent


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
