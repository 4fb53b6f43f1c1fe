"""The processes in which the tests run commands."""

from pathlib import Path

from processes import Commands


def test_a_command_that_a_test_gave_up_holds_up_no_other(
    commands: Commands, tmp_path: Path
) -> None:
    script = tmp_path / "endless.py"
    script.write_text("import sys, time\nprint(sys.argv[1], flush=True)\ntime.sleep(600)\n")
    process = commands.begin("now", script=script)
    assert commands.call("--help").returncode == 0
    assert not Path(f"/proc/{process}").exists()


def test_a_script_is_run_with_its_words_and_ends_as_it_ends(
    commands: Commands, tmp_path: Path
) -> None:
    (tmp_path / "beside.py").write_text("NUMBER = 3\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom beside import NUMBER\n"
        "print(sys.argv[1:], __name__)\nsys.exit(NUMBER if sys.argv[1:] else None)\n"
    )
    done = commands.call("a", "b", script=script, folder=tmp_path)
    assert (done.returncode, done.stdout) == (3, "['a', 'b'] __main__\n")
    assert commands.call(script=script).returncode == 0
    script.write_text("raise KeyError('wrong')\n")
    done = commands.call(script=script)
    assert done.returncode == 1
    assert "KeyError: 'wrong'" in done.stderr
