"""Commands as processes of their own, which can be killed."""

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path


def start(arguments: Sequence[str], folder: Path | None = None) -> subprocess.Popen[str]:
    """A command on one thread, in `folder`."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(
        arguments,
        cwd=folder,
        env=one_thread,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait until it ends well; what it said."""
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return said


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Kill without warning as soon as something is reached."""
    try:
        while process.poll() is None and not reached():
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said


@contextlib.contextmanager
def telling_its_port(*command: str) -> Generator[int]:
    """A server in a process of its own, which says its port first."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate(timeout=30)


@contextlib.contextmanager
def told_its_port(*command: str) -> Generator[int]:
    """A server in a process of its own, whose first argument more is its port; it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen([*command, str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait(30)


@contextlib.contextmanager
def without_privileges() -> Generator[None]:
    """This thread, and those it begins, asks for permission as others do, even as root.

    Root reads and writes whatever the modes of files say, by two capabilities; they are laid
    down meanwhile. For who is not root nothing changes.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    effective = sets[0]
    sets[0] = effective & ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[0] = effective
        assert libc.capset(header, sets) == 0


GRAFT = (sys.executable, "-c", "from graft.cli import main; main()")
"""The command line, without the `graft` that is installed."""

BOTH = ("graft.cli.app", "graft.cli.tables")
TOOLFORMER = (*BOTH, "graft.toolformer.teach", "transformers.models.llama")
CONTROLNET = (
    *(*BOTH, "graft.cli.plots", "graft.controlnet.teach", "matplotlib.figure"),
    *("matplotlib.backends.backend_agg", "diffusers.schedulers.scheduling_ddim"),
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
)
"""What commands import."""

Graft = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a command with these words, in `folder`, as a process of its own."""

WARM = """
import importlib, json, os, runpy, signal, sys
from graft.cli import main
for name in sys.argv[1:]:
    importlib.import_module(name)
print(0, flush=True)
for line in sys.stdin:
    script, words, at, *said = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, name in enumerate(said, start=1):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.chdir(at)
        sys.argv = [script or "graft", *words]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            if script is None:
                code = main()
            else:
                sys.path[0] = os.path.dirname(os.path.abspath(script))
                code = runpy.run_path(script, run_name="__main__") and 0
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 0)
    print(child, flush=True)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    sys.stdin.readline()  # until then its number is nobody else's: it may be sent a signal
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Commands:
    """Runs `graft` again and again, each time as a process of its own that is there at once.

    The modules are imported once, and every command is a fork of that: a moment drawn over its
    time then falls into its work, and not into the seconds that Python takes to begin.
    """

    def __init__(self, folder: Path, modules: Sequence[str]) -> None:
        self._said = folder / "said.txt", folder / "errors.txt"
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        one_thread["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        one_thread["TRANSFORMERS_VERBOSITY"] = "error"  # as the command line has it
        self._parent = subprocess.Popen(
            [sys.executable, "-c", WARM, *modules],
            env=one_thread,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._running: int | None = None
        self._asked = False
        self._read()  # all is imported

    def begin(self, *words: str, folder: Path | None = None, script: Path | None = None) -> int:
        """Start a command, in `folder`, or a script with these words; its process."""
        self._stop_what_a_test_gave_up()
        for file in self._said:
            file.write_text("")
        what = [script and str(script), words, str(folder or Path.cwd())]
        self._write(json.dumps([*what, *map(str, self._said)]))
        self._running = self._read()
        return self._running

    def end(self) -> tuple[int, str]:
        """Wait for the command that was started: how it ended, and what it said."""
        self._write("")
        self._asked = True
        code = self._read()
        self._running, self._asked = None, False
        return code, "".join(file.read_text() for file in self._said)

    def _stop_what_a_test_gave_up(self) -> None:
        """A command that went on when its test's time was over does not hold up the next."""
        if self._running is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._running, signal.SIGKILL)
        if not self._asked:
            self._write("")
        self._read()
        self._running, self._asked = None, False

    def call(
        self, *words: str, folder: Path | None = None, script: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in `folder`, or a script with these words, to its end."""
        self.begin(*words, folder=folder, script=script)
        code, _ = self.end()
        out, errors = (file.read_text() for file in self._said)
        return subprocess.CompletedProcess(words, code, out, errors)

    def run(self, *words: str) -> float:
        """Run a command to its good end; how many seconds it took."""
        started = time.perf_counter()
        self.begin(*words)
        code, said = self.end()
        assert code == 0, said
        return time.perf_counter() - started

    def stop_after(self, seconds: float, number: int, *words: str) -> tuple[int, str]:
        """Run a command, sending it a signal at that moment; as `end`."""
        process = self.begin(*words)
        time.sleep(seconds)
        os.kill(process, number)
        return self.end()

    def stop_when(
        self, reached: Callable[[], bool], number: int, *words: str
    ) -> tuple[int, str]:
        """Run a command, sending it a signal as soon as something is reached; as `end`."""
        process = self.begin(*words)
        while not reached() and not _has_ended(process):
            time.sleep(0.001)
        os.kill(process, number)
        return self.end()

    @contextlib.contextmanager
    def largest_file(self, size: int) -> Generator[None]:
        """Commands that begin meanwhile can write no larger file."""
        both = resource.prlimit(self._parent.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._parent.pid, resource.RLIMIT_FSIZE, (size, both[1]))
        try:
            yield
        finally:
            resource.prlimit(self._parent.pid, resource.RLIMIT_FSIZE, both)

    def close(self) -> None:
        """No more commands."""
        self._stop_what_a_test_gave_up()
        self._parent.communicate(timeout=60)

    def _write(self, line: str) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.write(line + "\n")
        self._parent.stdin.flush()

    def _read(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())


def _has_ended(process: int) -> bool:
    """Whether it waits for its parent to ask how it ended."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
