"""`graft toolformer teach` with the embedded seedling: whole, again, and killed on its way."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from graft.toolformer.call import parse, strip
from graft.world.shipped import FOLDER
from processes import GRAFT, Graft, finish, kill_when, start

RECIPE = """
shard_texts = 6
limit = 24
annotate.call_tokens = 20
annotate.sampling = { threshold = 0.0, positions = 2, samples = 2 }
annotate.tools = {}
keep = { threshold = -5.0, tools = {} }
train = { batch = 4, epochs = 1, evaluate_every = 1, dev_share = 0.2 }
run.max_new_tokens = 8
"""
CHANGING = {"log.jsonl", "seconds.json"}
"""Files that tell how long something took."""


def command(folder: Path, out: Path) -> list[str]:
    (folder / "recipe.toml").write_text(RECIPE)
    tasks = []
    for name in ("arithmetic", "plain"):
        lines = (FOLDER / "tasks" / f"{name}.jsonl").read_text().splitlines()[:3]
        tasks.append(folder / f"{name}.jsonl")
        tasks[-1].write_text("\n".join(lines) + "\n")
    return [
        *("toolformer", "teach"),
        *(str(FOLDER / "corpus.jsonl"), "--tools", "calculator,calendar"),
        *("--config", str(folder / "recipe.toml"), "--out", str(out)),
        *("--set", f"evaluate.tasks={json.dumps([str(task) for task in tasks])}"),
    ]


def lasting(folder: Path) -> dict[str, bytes]:
    """Every file that must not depend on when, where and how often it was made."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in CHANGING and path != folder / "report.json"
    }


def read_lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def report(folder: Path) -> dict[str, object]:
    """The report without what it took."""
    whole = json.loads((folder / "report.json").read_text())
    taken = ("seconds", "tokens", "ledger")
    return {name: part for name, part in whole.items() if name not in taken}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("teach")


@pytest.fixture(scope="module")
def taught(folder: Path) -> tuple[Path, Path]:
    """Two runs of the same command, side by side."""
    outs = folder / "one", folder / "other"
    for process in [start([*GRAFT, *command(folder, out)]) for out in outs]:
        finish(process)
    return outs


def assert_same(one: Path, other: Path) -> None:
    first, second = lasting(one), lasting(other)
    assert list(first) == list(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert report(one) == report(other)


def test_the_same_command_twice_gives_the_same_bytes(taught: tuple[Path, Path]) -> None:
    assert_same(*taught)


def test_killed_in_annotate_and_in_train_it_ends_in_the_same_bytes(
    taught: tuple[Path, Path], folder: Path
) -> None:
    out = folder / "killed"
    arguments = [*GRAFT, *command(folder, out)]
    shards, log = out / "annotate" / "shards", out / "train" / "toolformer" / "log.jsonl"
    kill_when(start(arguments), lambda: any(shards.glob("shard-*.parquet")))
    assert not (shards / "manifest.json").exists()
    kill_when(start(arguments), lambda: log.exists() and log.read_text().count("\n") >= 2)
    assert not (out / "train" / "control" / "model").exists()
    finish(start(arguments))
    assert_same(taught[0], out)


def test_a_finished_run_is_not_done_again(
    taught: tuple[Path, Path], folder: Path, graft: Graft
) -> None:
    before = lasting(taught[1])
    assert graft(*command(folder, taught[1])).returncode == 0
    assert lasting(taught[1]) == before


def test_what_was_kept_are_answered_calls_in_texts_of_the_corpus(
    taught: tuple[Path, Path],
) -> None:
    kept = read_lines(taught[0] / "keep" / "kept.jsonl")
    assert kept
    corpus = {record["text"] for record in read_lines(FOLDER / "corpus.jsonl")}
    for record in kept:
        call = parse(record["text"])
        assert call is not None
        assert call.result
        assert strip(record["text"]) == record["plain"]
        assert record["plain"] in corpus
    counted = json.loads((taught[0] / "keep" / "report.json").read_text())
    assert sum(counted["kept"].values()) == sum(len(record["gains"]) for record in kept)
    assert counted["texts"] == pq.read_table(taught[0] / "keep" / "merged.parquet").num_rows


def test_the_report_has_every_task_system_and_number(taught: tuple[Path, Path]) -> None:
    whole = json.loads((taught[0] / "report.json").read_text())
    always = {"tasks", "over", "perplexity", "corpus", "tokens", "seconds", "ledger"}
    assert set(whole) - {"called"} == always
    assert set(whole["tasks"]) == {"arithmetic", "plain"}
    for systems in whole["tasks"].values():
        assert set(systems) == {"base", "control", "disabled", "toolformer"}
        for result in systems.values():
            assert set(result) == {"accuracy", "low", "high", "n", "call_rate"}
            assert result["n"] == 3
        assert systems["disabled"]["call_rate"] == 0
    for task, over in whole["over"].items():
        assert set(over) == {"base", "control", "disabled"}
        taught_one, control = (whole["tasks"][task][name] for name in ("toolformer", "control"))
        assert over["control"]["mean"] == pytest.approx(
            taught_one["accuracy"] - control["accuracy"]
        )
        lines = read_lines(taught[0] / "evaluate" / "answers" / f"{task}.jsonl")
        right = sum(line["right"]["toolformer"] for line in lines)  # type: ignore[index]
        assert right == round(3 * taught_one["accuracy"])
    assert set(whole["perplexity"]) == {"base", "control", "disabled"}
    assert whole["corpus"]["texts"] == 24
    assert whole["corpus"]["candidates"] >= sum(whole["corpus"]["kept"].values()) > 0
    stages = {"annotate", "keep", "train", "control", "evaluate"}
    assert set(whole["tokens"]) == set(whole["seconds"]) == stages
    assert all(tokens > 0 for tokens in whole["tokens"].values())
    asked = whole["ledger"]["annotate"].values()
    assert all(
        set(one) == {"calls", "remembered", "errors", "seconds", "cost"} for one in asked
    )
    answered = sum(one["calls"] - one["errors"] for one in asked)
    assert answered == whole["corpus"]["candidates"]
    assert all(one["seconds"] > 0 for one in asked)


def test_kept_calls_stand_in_their_texts_for_a_person_to_judge(
    taught: tuple[Path, Path],
) -> None:
    page = (taught[0] / "keep" / "kept.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split(" | ")] for line in page[4:]]
    shown = json.loads((taught[0] / "keep" / "report.json").read_text())["shown"]
    assert len(rows) == len(shown) > 1
    gains = [float(row[0].removeprefix("| ")) for row in rows]
    assert gains == sorted(gains, reverse=True)
    texts = [line["plain"] for line in read_lines(taught[0] / "keep" / "kept.jsonl")]
    for one in shown:
        assert any(one["before"] + one["after"] in text for text in texts)


def test_a_report_is_shown_again_and_recorded_without_the_texts(
    taught: tuple[Path, Path], folder: Path, graft: Graft
) -> None:
    flags = ("--record", str(folder / "told"), "--name", "mine")
    done = graft("toolformer", "report", str(taught[0]), *flags)
    assert done.returncode == 0, done.stderr
    assert "arithmetic, toolformer over:" in done.stdout
    found = json.loads((folder / "told" / "mine.json").read_text())
    assert found["report"] == json.loads((taught[0] / "report.json").read_text())
    assert [set(call) for call in found["calls"]] == [{"gain", "call"}] * len(found["calls"])
    page = (folder / "told" / "mine.md").read_text()
    assert "points over its control (95% interval over pairs" in page
    assert f"`{found['calls'][0]['call']}` |" in page


def test_the_taught_model_is_an_ordinary_folder_that_names_its_tools(
    taught: tuple[Path, Path],
) -> None:
    model = taught[0] / "train" / "toolformer" / "model"
    network = AutoModelForCausalLM.from_pretrained(model)
    assert AutoTokenizer.from_pretrained(model).encode("7 boxes")
    assert network.config.vocab_size
    card = json.loads((model / "graft.json").read_text())
    assert [tool["name"] for tool in card["tools"]] == ["Calculator", "Calendar"]
