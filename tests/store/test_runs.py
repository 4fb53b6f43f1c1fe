import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import StoreError
from graft.store.runs import Run, held, refuse_another, write_json, write_text

RECIPE: dict[str, object] = {"seed": 0, "keep": {"threshold": 0.5, "per_tool": None}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "demo"


def test_a_run_begins_with_its_recipe(root: Path) -> None:
    with Run.open(root, RECIPE):
        assert json.loads((root / "recipe.json").read_text()) == RECIPE


def test_a_run_continues_with_the_same_recipe(root: Path) -> None:
    with Run.open(root, RECIPE) as run:
        run.finish("keep", {"kept": 7})
    with Run.open(root, {"keep": RECIPE["keep"], "seed": 0}) as run:
        assert run.finished("keep") == {"kept": 7}


def test_a_tuple_in_a_recipe_is_the_list_it_is_written_as(root: Path) -> None:
    Run.open(root, {"tools": ("a", "b")}).close()
    Run.open(root, {"tools": ("a", "b")}).close()


def test_another_recipe_is_refused_by_the_settings_that_differ(root: Path) -> None:
    Run.open(root, RECIPE).close()
    other = {"seed": 1, "keep": {"threshold": 1.0}, "model": "x"}
    with pytest.raises(StoreError) as refused:
        Run.open(root, other)
    assert str(refused.value) == (
        f"{root}: was begun with other settings: seed was 0, is 1;"
        ' keep.threshold was 0.5, is 1.0; model was not set, is "x";'
        " take the same settings, or choose another --out"
    )
    Run.open(root, RECIPE).close()


def test_only_the_first_three_differences_are_told(root: Path) -> None:
    Run.open(root, dict.fromkeys("abcde", 0)).close()
    with pytest.raises(StoreError, match="c was 0, is 1, and 2 more; take the same"):
        Run.open(root, dict.fromkeys("abcde", 1))


def test_a_begun_run_is_left_as_it_is_where_another_one_is_asked_for(root: Path) -> None:
    asked = {"model": "a", "seed": 0}
    refuse_another(root, asked, ["model"])  # nothing has begun
    Run.open(root / "annotate", {}).close()
    write_json(root / "recipe.json", asked)
    refuse_another(root, {**asked, "seed": 1}, ["model"])
    with pytest.raises(StoreError, match="was begun with model = 'a', not 'b'; choose another"):
        refuse_another(root, {**asked, "model": "b"}, ["model"])


def test_a_begun_run_without_its_recipe_is_told_so(root: Path) -> None:
    Run.open(root / "annotate", {}).close()
    with pytest.raises(StoreError, match=r"recipe\.json: is missing, .* put it back"):
        refuse_another(root, {"model": "a"}, ["model"])


def test_a_folder_of_something_else_is_left_alone(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match=r"holds other files \(thesis\.tex\) and no run"):
        Run.open(root, RECIPE)
    assert not (root / "recipe.json").exists()


def test_a_damaged_recipe_is_named(root: Path) -> None:
    Run.open(root, RECIPE).close()
    (root / "recipe.json").write_text("{")
    with pytest.raises(StoreError, match=r"recipe\.json: cannot be read .* delete"):
        Run.open(root, RECIPE)


def test_an_unfinished_stage_has_no_summary(root: Path) -> None:
    with Run.open(root, RECIPE) as run:
        write_text(run.folder("keep") / "part.txt", "half")
        assert run.finished("keep") is None


def test_a_manifest_holds_the_digest_of_all_but_the_diaries(root: Path) -> None:
    with Run.open(root, RECIPE) as run:
        folder = run.folder("train")
        write_text(folder / "model" / "config.json", "{}")
        write_json(folder / "seconds.json", {"train": 1.5})
        (folder / ".b.partial").write_text("left by a killed writer")
        run.log("train", {"step": 0, "seconds": 0.1})
        run.finish("train", {"steps": 1})
        assert not (folder / ".b.partial").exists()
    manifest = json.loads((root / "train" / "manifest.json").read_text())
    assert manifest == {
        "stage": "train",
        "summary": {"steps": 1},
        "after": {},
        "files": {"model/config.json": hashlib.sha256(b"{}").hexdigest()},
    }


def test_what_changed_after_a_stage_was_finished_is_refused(root: Path) -> None:
    with Run.open(root, RECIPE) as run:
        path = run.folder("keep") / "kept.txt"
        write_text(path, "before")
        run.finish("keep", {})
        write_text(path, "after!")
        with pytest.raises(StoreError, match=rf"{path}: has changed since .* delete {root}"):
            run.finished("keep")
        path.unlink()
        with pytest.raises(StoreError, match=f"{path}: is missing"):
            run.finished("keep")


def test_a_stage_is_refused_when_the_one_before_it_was_done_again(root: Path) -> None:
    with Run.open(root, RECIPE) as run:
        write_text(run.folder("annotate") / "a.txt", "one")
        run.finish("annotate", {})
        run.finish("keep", {"kept": 1}, after=["annotate"])
        assert run.finished("keep") == {"kept": 1}
        write_text(run.folder("annotate") / "a.txt", "two")
        run.finish("annotate", {})
        assert run.finished("annotate") == {}
        with pytest.raises(StoreError, match=r"annotate/manifest\.json: has changed"):
            run.finished("keep")


def test_a_stage_cannot_follow_one_that_is_not_finished(root: Path) -> None:
    with (
        Run.open(root, RECIPE) as run,
        pytest.raises(StoreError, match=r"annotate/manifest\.json: cannot be read: No such"),
    ):
        run.finish("keep", {}, after=["annotate"])
    assert not (root / "keep" / "manifest.json").exists()


def test_a_log_is_appended_line_by_line(root: Path) -> None:
    for step in range(2):
        with Run.open(root, RECIPE) as run:
            run.log("train", {"step": step, "note": "größer"})
    lines = (root / "train" / "log.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]


def test_two_equal_runs_have_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        with Run.open(tmp_path / name, RECIPE) as run:
            write_text(run.folder("keep") / "kept.txt", "same")
            run.finish("keep", {"kept": 1})
    a, b = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in "ab"
    )
    assert a == b


def test_a_run_held_by_one_is_refused_to_another(root: Path) -> None:
    with Run.open(root, RECIPE), pytest.raises(StoreError, match="another process"):
        Run.open(root, RECIPE)
    Run.open(root, RECIPE).close()


def test_a_refused_recipe_does_not_keep_the_run_locked(root: Path) -> None:
    Run.open(root, RECIPE).close()
    with pytest.raises(StoreError, match="other settings"):
        Run.open(root, {})
    Run.open(root, RECIPE).close()


def test_a_folder_is_held_by_one_and_cleared_of_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / ".report.json.1234.partial").write_text("half")
    (tmp_path / "report.json").write_text("{}")
    with held(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "report.json"]
        with pytest.raises(StoreError, match="another process"), held(tmp_path):
            pass
    with held(tmp_path):
        pass


HOLD = """
import sys, time
from pathlib import Path
from graft.store.runs import Run
run = Run.open(Path(sys.argv[1]), {"seed": 0})
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_process_lets_go_of_its_run(root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another process is working on this run"):
            Run.open(root, {"seed": 0})
        holder.send_signal(signal.SIGKILL)
    Run.open(root, {"seed": 0}).close()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
).filter(lambda value: "\\ud" not in json.dumps(value))


@given(value=json_values)
def test_written_json_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert json.loads(path.read_text("utf-8")) == value


def test_writing_again_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    write_text(path, "a longer text")
    write_text(path, "short")
    assert path.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [path]


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, 1)
    with pytest.raises(TypeError):
        write_json(path, object())
    assert json.loads(path.read_text()) == 1
