"""A run that is killed, stopped or left without space, beside one that nobody disturbed."""

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from processes import Commands

KILLS = int(os.environ.get("GRAFT_KILLS", "10"))
CHANGING = {"log.jsonl", "seconds.json"}
"""Files that tell how long something took; the report of a run tells it as well."""
FULL = "the disk is full; free some space and run the same command again"
LIMITED = "larger than a file may be here (ulimit -f); raise it and run the same command again"


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed: what stood before and after each stage, and its seconds."""

    folder: Path
    command: Callable[[Path, str, Path], list[str]]
    """The words of a stage's command, from this folder, the stage, and a run's folder."""
    before: dict[str, Path] = field(default_factory=dict)
    after: dict[str, dict[str, bytes]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def words(self, stage: str, run: Path) -> list[str]:
        """The command of a stage on a run's folder."""
        return self.command(self.folder, stage, run)

    def go_through(self, commands: Commands, stages: Sequence[str]) -> None:
        """Do every stage once."""
        run = self.folder / "run"
        run.mkdir()
        for stage in stages:
            self.before[stage] = Path(shutil.copytree(run, self.folder / f"before-{stage}"))
            self.seconds[stage] = commands.run(*self.words(stage, run))
            self.after[stage] = lasting(run)


def lasting(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones too, that must not depend on who was stopped when."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in CHANGING
    }
    if "report.json" in found:
        report = {**json.loads(found["report.json"]), "seconds": 0, "ledger": 0}
        found["report.json"] = json.dumps(report).encode()
    return found


def differing(run: Path, whole: Mapping[str, bytes]) -> list[str]:
    """The names of files that are not as in an undisturbed run, or only in one of both."""
    now = lasting(run)
    return [name for name in sorted({*now, *whole}) if now.get(name) != whole.get(name)]


def made(run: Path, folders: Sequence[str]) -> list[str]:
    """The names of what stands finished in a stage's folders; half files are hidden.

    It may be asked while the stage works: a folder that goes meanwhile is passed over.
    """
    found: list[str] = []
    for name in folders:
        for parent, below, files in os.walk(run / name):
            below[:] = [one for one in below if not one.startswith(".")]
            there = Path(parent).relative_to(run)
            found += [
                (there / one).as_posix() for one in [*below, *files] if not one.startswith(".")
            ]
    return sorted(found)


def kill_at_random_moments(
    commands: Commands,
    whole: Undisturbed,
    stage: str,
    folders: Sequence[str],
    place: Path,
    *,
    after_a_kill: Callable[[Path], None] = lambda _: None,
) -> None:
    """Kill a stage `KILLS` times, going on each time; in the end nothing differs.

    By turns at a moment drawn over the whole of its time, and when it has just made something.
    """
    moments = random.Random(f"killed in {stage}")
    kills, kills_at_work, runs = 0, 0, 0
    while kills < KILLS:
        run = Path(shutil.copytree(whole.before[stage], place / f"run-{runs}"))
        runs += 1
        words = whole.words(stage, run)
        killed = True
        while killed and kills < KILLS:
            before = made(run, folders)
            if kills % 2:
                code, said = commands.stop_when(
                    lambda run=run, before=before: made(run, folders) != before,
                    signal.SIGKILL,
                    *words,
                )
            else:
                moment = moments.uniform(0, whole.seconds[stage])
                code, said = commands.stop_after(moment, signal.SIGKILL, *words)
            killed = code == -signal.SIGKILL
            assert killed or code == 0, said
            after_a_kill(run)
            kills += killed
            kills_at_work += killed and made(run, folders) != before
        commands.run(*words)
        assert differing(run, whole.after[stage]) == []
    assert kills_at_work >= KILLS // 4, f"{kills_at_work} of {kills} kills met work under way"


def try_stages(
    commands: Commands,
    stages: Sequence[str],
    words: Callable[[str, Path], list[str]],
    run: Path,
    told: str,
) -> int:
    """Run the stages until one fails, which must say `told`; how many ended well."""
    for done, stage in enumerate(stages):
        commands.begin(*words(stage, run))
        code, said = commands.end()
        if code != 0:
            assert code == 1, said
            assert "Traceback" not in said
            assert f"{run}" in said.splitlines()[-1]
            assert told in said.splitlines()[-1]
            return done
    return len(stages)
