import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from graft.cli.app import app
from graft.world.gallery import write_gallery
from processes import GRAFT, Graft


def commands(group: object, prefix: tuple[str, ...] = ()):
    """Every command below a group, as the words that call it."""
    for name, command in getattr(group, "commands", {}).items():
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_the_commands_are_the_stages_and_what_is_around_them() -> None:
    stages = ("annotate", "keep", "train", "run", "evaluate", "teach")
    assert {(room, stage) for room in ("toolformer", "controlnet") for stage in stages} <= set(
        COMMANDS
    )
    assert {("demo",), ("doctor",), ("seedling", "grow"), ("seedling", "corpus")} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("words", list(COMMANDS), ids=" ".join)
def test_the_help_of_a_command_has_an_example_of_it(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0
    said = re.sub(r"\s+", " ", shown.output)
    assert f"Example: graft {' '.join(words)}" in said


def test_help_comes_without_loading_torch() -> None:
    code = (
        "import sys; sys.argv = ['graft', 'toolformer', '--help']\n"
        "from graft.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_a_missing_corpus_is_one_clear_line(graft: Graft, tmp_path: Path) -> None:
    done = graft(
        "toolformer",
        "annotate",
        "nowhere.jsonl",
        "--tools",
        "calculator",
        "--out",
        "run",
        folder=tmp_path,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("graft: ")
    assert "nowhere.jsonl" in last
    assert "Traceback" not in done.stderr


def test_a_misspelt_setting_is_refused_by_name(graft: Graft, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("Seven and 8 are 15.")
    done = graft(
        "toolformer",
        "annotate",
        "texts.txt",
        "--out",
        "run",
        "--set",
        "keep.treshold=1",
        folder=tmp_path,
    )
    assert done.returncode == 1
    assert "did you mean 'threshold'" in done.stderr


def test_a_missing_folder_to_search_in_is_named(graft: Graft, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("The Osk flows through Venna.")
    flags = ("--tools", "search", "--search", "nowhere", "--out", "run")
    done = graft("toolformer", "annotate", "texts.txt", *flags, folder=tmp_path)
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stage_before_its_time_names_the_one_to_run_first(
    graft: Graft, tmp_path: Path
) -> None:
    done = graft("toolformer", "keep", str(tmp_path))
    assert done.returncode == 1
    assert "graft toolformer annotate" in done.stderr


def test_a_missing_folder_of_pictures_and_an_unknown_condition_are_clear_lines(
    graft: Graft,
    tmp_path: Path,
) -> None:
    for words, said in (
        (["nowhere", "--out", "run"], "nowhere"),
        (["pictures", "--condition", "cany", "--out", "run"], "did you mean 'canny'"),
        (["pictures", "--out", "run", "--set", "train.bach=4"], "did you mean 'batch'"),
    ):
        done = graft("controlnet", "annotate", *words, folder=tmp_path)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_what_a_user_with_bad_luck_brings_gives_one_clear_line(
    graft: Graft, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "one.png").write_bytes(b"")
    (tmp_path / "bad" / "two.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    write_gallery(tmp_path / "few", 3)
    for words, said in (
        (["none", "--out", "a"], "none"),
        (["bad", "--out", "b"], "unreadable"),
        (["few", "--base", "nowhere", "--out", "c"], "nowhere"),
        (["few", "--size", "50", "--out", "d"], "take 48 or 52"),
        (["few", "--out", "e", "--set", "train.steps=1"], "too few"),
    ):
        done = graft("controlnet", "teach", *words, folder=tmp_path)
        assert done.returncode == 1, words
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_stage_of_controlnet_before_its_time_names_the_one_to_run_first(
    graft: Graft,
    tmp_path: Path,
) -> None:
    done = graft("controlnet", "train", str(tmp_path))
    assert done.returncode == 1
    assert "graft controlnet annotate" in done.stderr


def test_a_hint_is_needed_for_each_control(graft: Graft, tmp_path: Path) -> None:
    done = graft(
        *("controlnet", "run", "a star", "--control", "one", "--control", "two"),
        *("--hint", "star.png", "--base", "seedling", "--out", "drawn"),
        folder=tmp_path,
    )
    assert done.returncode == 1
    assert "2 controls and 1 hints" in done.stderr


def test_an_unknown_part_of_the_demonstration_is_refused(graft: Graft, tmp_path: Path) -> None:
    done = graft("demo", "--only", "both", folder=tmp_path)
    assert done.returncode == 1
    assert "toolformer and controlnet" in done.stderr


def test_an_unknown_seedling_is_refused(graft: Graft, tmp_path: Path) -> None:
    done = graft("seedling", "grow", "elephant", "--out", str(tmp_path))
    assert done.returncode == 1
    assert "language" in done.stderr


def test_an_unknown_command_and_no_command_say_what_there_is(
    graft: Graft, tmp_path: Path
) -> None:
    unknown = graft("toolformer", "anotate", folder=tmp_path)
    assert unknown.returncode == 2
    assert "anotate" in unknown.stderr
    nothing = graft(folder=tmp_path)
    assert "toolformer" in nothing.stdout + nothing.stderr


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("There were 47 apples and 38 plums. " * 16000)
    flags = ("--tools", "calculator", "--out", "run", "--set", "shard_texts=1")
    process = subprocess.Popen(
        [*GRAFT, "toolformer", "annotate", "texts.txt", *flags],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    for _ in range(600):
        if list(tmp_path.glob("run/annotate/shards/shard-*.parquet")):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from here" in said
    assert not list(tmp_path.glob("run/annotate/shards/*.partial"))


@pytest.mark.parametrize("command", ["corpus", "pictures"])
def test_a_file_where_the_world_is_to_be_written_is_told(
    graft: Graft, tmp_path: Path, command: str
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    said = graft("seedling", command, str(taken))
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].startswith(f"graft: {taken}: cannot be written: ")
    assert "Traceback" not in said.stderr
    assert taken.read_text() == "mine"


def test_texts_for_all_five_tools_are_written(graft: Graft, tmp_path: Path) -> None:
    assert (
        graft(
            *("seedling", "corpus", str(tmp_path), "--five", "--texts", "6", "--questions", "2")
        ).returncode
        == 0
    )
    tasks = {path.stem for path in (tmp_path / "tasks").iterdir()}
    assert tasks == {"arithmetic", "dates", "facts", "foreign", "plain", "questions"}
