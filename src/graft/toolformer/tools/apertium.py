"""Apertium, an offline translation engine, as a process that is given many texts at once.

Texts are data: they go in over a pipe, never through a shell, without the characters that
Apertium's stream format gives a meaning; a null byte ends each, at which the engine forgets
what came before (https://wiki.apertium.org/wiki/Daemon).
"""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.calendar import MONTHS, WEEKDAYS
from graft.toolformer.tools.languages import languages_of
from graft.toolformer.tools.tool import LateError

PROGRAM = "apertium"
MOST_SECONDS = 60.0
"""One run of the engine; a `Tool` has a time limit of its own."""
MOST_BYTES = 1 << 22
MOST_UNKNOWN = 0.5
"""A translation of which the engine does not know a greater share of words is none."""
PACKAGES = "apt-get install apertium apertium-eng-spa"
HOW_TO_GET = (
    f"install one with `{PACKAGES}` (Debian, Ubuntu; one package for each pair of languages:"
    " `apt-cache search apertium`), or name a model or a server in its place:"
    " mt:FOLDER_OR_HUB_ID, mt:http://HOST:PORT"
)

_DATA = Path("/usr/share/apertium")
_MODE = re.compile(r"(?P<source>[a-z]{2,3})-(?P<target>[a-z]{2,3})")
_FILE = re.compile(r"'([^']+)'")
_MEANS_SOMETHING = re.compile(r"[][{}^$<>\\*@#+~\x00-\x20\x7f-\xa0\u2028\u2029]+")
_MARK = re.compile(r"(?<!\w)[*@#]+(?=\w)")
_BETWEEN = "\0.\0"
"""Behind each text, a text of its own: an engine that loses one cannot shift the others."""
_FIRST_WORD = re.compile(r"[^\W\d_]{2,}")
_ALWAYS_CAPITAL = frozenset((*WEEKDAYS, *MONTHS))
_END_OF_TEXT = "\n"
"""Of a text: a last word that may begin a longer one, such as `campo`, is lost without it."""
_LEFT_OVER = re.compile(r"[*@#^$\\~\x00]")


class Apertium:
    """The engine, with what it can translate into one language, in one step or two.

    Args:
        program: the command.
        modes: its folder of modes, one file for each direction.
        to: the language translated into.
    """

    def __init__(self, program: str, modes: Path, to: str) -> None:
        self._program = program
        self.routes = _routes(modes, to)
        """By language, the modes that a text goes through."""
        self.languages = frozenset(self.routes)
        self.version = f"apertium {_fingerprint(modes, self.routes)}"

    def translate(self, asked: Sequence[tuple[str, str]]) -> list[str | ToolError]:
        """Each text, given with its language, in the other language; or why not."""
        found = dict[int, str | ToolError]()
        for language in dict.fromkeys(language for _, language in asked):
            own = [place for place, one in enumerate(asked) if one[1] == language]
            texts = [asked[place][0] for place in own]
            found |= zip(own, self._through(self.routes[language], texts), strict=True)
        return [found[place] for place in range(len(asked))]

    def _through(self, route: Sequence[str], texts: Sequence[str]) -> list[str | ToolError]:
        """What `texts` become, mode by mode; one that a mode refuses goes no further."""
        done: list[str | ToolError] = [*texts]
        for mode in route:
            left = [place for place, one in enumerate(done) if isinstance(one, str)]
            plain = [_plain(str(done[place])) for place in left]
            for place, text, said in zip(left, plain, self._run(mode, plain), strict=True):
                done[place] = _unmarked(text, said) if isinstance(said, str) else said
        return done

    def _run(self, mode: str, texts: Sequence[str]) -> list[str | ToolError]:
        """What the engine writes for each text; halves are asked where all cannot be."""
        if not texts:
            return []
        written = _piped(
            [self._program, "-f", "none", "-z", mode],
            "".join(
                text.replace("/", r"\/") + _END_OF_TEXT + _BETWEEN for text in texts
            ).encode(),
        )
        if isinstance(written, LateError):
            return [LateError(*written.args) for _ in texts]
        parts = [] if written is None else written.decode(errors="replace").split(_BETWEEN)
        if len(parts) == len(texts) + 1 and not parts[-1].strip("\0"):
            return [*parts[:-1]]
        if len(texts) == 1:
            return [ToolError("the engine could not translate it")]
        half = len(texts) // 2
        return [*self._run(mode, texts[:half]), *self._run(mode, texts[half:])]


def find_apertium(to: str = "en") -> Apertium:
    """The engine that is installed here.

    Raises:
        ConfigError: there is none, or nothing that it can translate into `to`; says how to
            get one.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise ConfigError(f"no translation engine (apertium) is installed; {HOW_TO_GET}")
    folder = Path(os.environ.get("APERTIUM_DATADIR") or _DATA)
    engine = Apertium(program, folder / "modes", to)
    if not engine.languages:
        raise ConfigError(
            f"{program} has no pair of languages into '{to}' in {folder / 'modes'};"
            f" {HOW_TO_GET}"
        )
    return engine


@dataclass(frozen=True, slots=True)
class _Step:
    mode: str
    source: str
    target: str


def _steps(modes: Path) -> Iterator[_Step]:
    for path in sorted(modes.glob("*-*.mode")):
        named = _MODE.fullmatch(path.stem)
        if named is None:  # a variant, such as `eng-cat_valencia`
            continue
        for source in languages_of(named["source"]):
            for target in languages_of(named["target"]):
                yield _Step(path.stem, source, target)


def _routes(modes: Path, to: str) -> dict[str, tuple[str, ...]]:
    steps = list(_steps(modes))
    direct = {step.source: (step.mode,) for step in steps if step.target == to}
    by_another = {
        step.source: (step.mode, *direct[step.target])
        for step in steps
        if step.target in direct and step.source != to
    }
    return {**by_another, **direct}


def _fingerprint(modes: Path, routes: Mapping[str, Sequence[str]]) -> str:
    """Changes with the modes and the data that they name."""
    told = hashlib.blake2b(digest_size=6)
    for mode in sorted({mode for route in routes.values() for mode in route}):
        written = (modes / f"{mode}.mode").read_text(encoding="utf-8", errors="replace")
        sizes = [_size(Path(name)) for name in _FILE.findall(written)]
        told.update(f"{mode} {written} {sizes}".encode())
    return told.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _plain(text: str) -> str:
    """The text on one line, without what Apertium's stream format gives a meaning."""
    whole = text.encode(errors="replace").decode()
    return _MEANS_SOMETHING.sub(" ", whole).strip()


def _unmarked(text: str, said: str) -> str | ToolError:
    """A translation without the marks of words that the engine does not know.

    `*` marks a word that it cannot read, `@` one that it cannot translate, `#` one that it
    cannot inflect.
    """
    unknown, words = len(_MARK.findall(said)), len(text.split())
    if unknown > MOST_UNKNOWN * words:
        return ToolError(f"the engine does not know {unknown} of {words} words")
    return _cased(text, " ".join(_LEFT_OVER.sub("", said).split()))


def _cased(text: str, said: str) -> str:
    """A translation that begins with a small letter, as its text does; engines write a capital.

    Days and months keep theirs; so does a single letter, such as `I`.
    """
    first = _FIRST_WORD.match(said)
    if first is None or not text.lstrip()[:1].islower() or first[0] in _ALWAYS_CAPITAL:
        return said
    return said[:1].lower() + said[1:]


def _piped(command: Sequence[str], given: bytes) -> bytes | LateError | None:
    """What a command writes; None where it fails. It ends with all that it started."""
    with tempfile.NamedTemporaryFile() as file:  # apertium asks whether its input has a name
        file.write(given)
        file.seek(0)
        process = subprocess.Popen(
            command,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        late, written = _read(process)
    failed = process.wait() != 0
    if late:
        return LateError(f"the engine took longer than {MOST_SECONDS:g} s")
    return None if failed or len(written) > MOST_BYTES else written


def _read(process: subprocess.Popen[bytes]) -> tuple[bool, bytes]:
    """Whether the process was too late; and what it wrote, till it and its children ended."""
    late = threading.Event()

    def give_up() -> None:
        late.set()
        _kill(process.pid)

    timer = threading.Timer(MOST_SECONDS, give_up)
    timer.daemon = True
    end = weakref.finalize(process, _kill, process.pid)  # at the program's end too
    assert process.stdout is not None
    timer.start()
    with process.stdout:
        written = process.stdout.read(MOST_BYTES + 1)
    if len(written) > MOST_BYTES:
        _kill(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its number stays its own
    timer.cancel()
    end()
    return late.is_set(), written


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
