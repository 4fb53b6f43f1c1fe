"""Every benchmark runs, small; what it counts is held to, what it times is not."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import Graft

ROOT = Path(__file__).parents[2]
_HELPERS = {"stopwatch", "bases", "naive", "stable_diffusion", "live", "searching", "resident"}
SMALL = {
    "annotate": ("--bases", "seedling", "--documents", "2", "--repeats", "1"),
    "keep": ("--bases", "seedling", "--documents", "2", "--repeats", "1"),
    "run": ("--bases", "seedling", "--texts", "4", "--repeats", "1"),
    "train": ("--bases", "seedling", "--steps", "2", "--repeats", "1"),
    "memory": ("--texts", "20"),
    "faults": ("--kinds", "canny", "--pictures", "60"),
    "cleaned": (
        *("--pictures", "40", "--held-out", "6", "--seeds", "0", "1", "--set", "train.steps=1"),
        *("validation.pictures=2", "evaluate.pictures=2"),
        *("validation.run.steps=2", "evaluate.run.steps=2"),
    ),
    "functions": ("--tokens", "3000", "--questions", "4", "--passes", "1", "--seeds", "3", "4"),
    "control_step": (
        *("--narrower", "16", "--pixels", "64", "--repeats", "1"),
        *("--ways", "a picture at a time"),
    ),
    "control_sample": (
        *("--narrower", "16", "--pixels", "64"),
        *("--steps", "4", "--repeats", "1"),
    ),
}


Measure = Callable[..., list[dict[str, float]]]


@pytest.fixture
def measured(graft: Graft, tmp_path: Path) -> Measure:
    """Runs a benchmark, small or with these flags; its rows."""

    def run(name: str, flags: tuple[str, ...] = ()) -> list[dict[str, float]]:
        words = (*(flags or SMALL[name]), "--record", str(tmp_path))
        script = ROOT / "benchmarks" / f"{name}.py"
        return rows_of(name, tmp_path, graft(*words, folder=ROOT, script=script))

    return run


def alone(name: str, folder: Path, flags: tuple[str, ...] = ()) -> list[dict[str, float]]:
    """A benchmark of memory, which begins with nothing imported; its rows."""
    small = flags or SMALL[name]
    command = [sys.executable, f"benchmarks/{name}.py", *small, "--record", str(folder)]
    return rows_of(
        name,
        folder,
        subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
        ),
    )


def rows_of(
    name: str, folder: Path, done: subprocess.CompletedProcess[str]
) -> list[dict[str, float]]:
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((folder / f"benchmark-{name}.json").read_text())
    assert {"command", "date", "machine", "commit", "question", "rows"} <= set(found)
    return found["rows"]


def test_every_benchmark_is_run_here() -> None:
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert scripts - _HELPERS == {*SMALL, "peers", "qa", "search"}


def test_annotating_takes_ten_times_fewer_tokens_than_the_naive_way(measured: Measure) -> None:
    [row] = measured("annotate")
    assert row["tokens, times fewer"] >= 10
    assert row["naive tokens"] > 2 * 25 * 100  # 25 samples of each document, read anew


def test_scoring_takes_half_the_tokens_and_gives_the_same_gains(measured: Measure) -> None:
    [row] = measured("keep")
    assert row["tokens, times fewer"] >= 2
    assert row["candidates"] > 10
    assert row["gains apart by"] < 1e-4


def test_faults_that_are_put_into_a_folder_are_named_and_good_pairs_are_not(
    measured: Measure,
) -> None:
    rows = measured("faults")
    assert len(rows) == 9 + 2 * 4
    for row in rows:
        assert row["named, of 100"] >= 95, row
        assert row["of 100 clean"] <= 2, row
        assert row.get("of 100 beside", 0) <= 2, row


def test_what_keep_leaves_of_a_spoiled_folder_is_taught_from_beside_the_clean_one(
    measured: Measure,
) -> None:
    clean, spoiled, cleaned, few = measured("cleaned")
    assert clean["pairs"] == 40
    assert clean["over clean"] == 0
    assert cleaned["pairs"] < spoiled["pairs"] - 12  # those that were mixed up
    assert few["learnt from"] == cleaned["learnt from"] < clean["learnt from"]
    assert all(0 <= row["from"] < row["fidelity"] < row["to"] < 1 for row in (clean, cleaned))


def test_decoding_is_measured_with_one_call_in_each_text_and_with_none(
    measured: Measure,
) -> None:
    batch, waiting, plain = measured("run")
    assert batch["calls"] == waiting["calls"] == 4
    assert plain["calls"] == 0


def test_questions_about_made_up_texts_are_asked_and_weights_are_found(tmp_path: Path) -> None:
    towns = [("Tovel", "1931"), ("Osk", "1840"), ("Karst", "1712"), ("Lorn", "1655")]
    texts = [{"title": one, "text": f"{one} was founded in {year}."} for one, year in towns]
    asked = [
        {
            "title": one,
            "question": {"en": f"When was {one} founded?"},
            "answer": {"en": year},
        }
        for one, year in towns
    ]
    files = {"texts": tmp_path / "texts.jsonl", "questions": tmp_path / "questions.jsonl"}
    for (_, path), records in zip(files.items(), (texts, asked), strict=True):
        path.write_text("".join(json.dumps(one) + "\n" for one in records))
    flags = [part for name, path in files.items() for part in (f"--{name}", str(path))]
    for more in (["--record", str(tmp_path)], ["--fit", str(tmp_path / "reader.json")]):
        done = subprocess.run(
            [sys.executable, "benchmarks/qa.py", *flags, *more],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((tmp_path / "benchmark-qa.json").read_text())["rows"]
    assert [row["questions"] for row in rows] == [2] * 5
    assert rows[0]["exact match"] == 100
    assert rows[4]["holds the answer"] == 100
    weights = json.loads((tmp_path / "reader.json").read_text())
    assert weights["when: year"] > 0


def peers(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/peers.py", *flags]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )


def test_a_peer_is_measured_from_its_clone(tmp_path: Path) -> None:
    if not (clone := os.environ.get("GRAFT_PEER")):
        pytest.skip("GRAFT_PEER names no clone of lucidrains/toolformer-pytorch")
    done = peers(clone, "--texts", "1", "--record", str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((tmp_path / "benchmark-peers.json").read_text())["rows"]
    assert [row["texts"] for row in rows] == [1, 1, 1]
    assert rows[0]["call answered"] == 1


def test_a_folder_that_is_no_clone_of_the_peer_is_named(tmp_path: Path) -> None:
    done = peers(str(tmp_path))
    assert done.returncode == 2
    assert f"{tmp_path}: no clone of lucidrains/toolformer-pytorch" in done.stderr


def test_a_controls_step_takes_two_thirds_of_the_work_or_a_fifth_of_the_activations(
    tmp_path: Path,
) -> None:
    rows = alone("control_step", tmp_path)
    shares = {row["case"]: row["graft / script"] for row in rows}
    assert "peak MiB, 64 pixels, a picture at a time, as the script" in shares
    kept, cheap, again = (
        f"true size, {how}: "
        for how in ("activations kept", "cheap ones recomputed", "all recomputed")
    )
    assert shares[f"{kept}TFLOP"] == pytest.approx(2265.17 / 3395.12, abs=1e-3)
    assert shares[f"{cheap}TFLOP"] < 0.75
    assert shares[f"{cheap}GiB kept, attention fused"] < 0.5
    assert shares[f"{cheap}GiB at peak, attention fused"] < 0.5
    assert shares[f"{again}TFLOP"] < 0.9
    assert shares[f"{again}GiB kept, attention written out"] < 0.05
    assert shares[f"{again}GiB kept, attention fused"] < 0.1
    assert shares[f"{again}GiB at peak, attention fused"] < 0.2


def test_a_picture_is_that_of_diffusers_with_its_hint_read_once_and_no_work_outside_a_window(
    measured: Measure,
) -> None:
    rows = {row["case"]: row for row in measured("control_sample")}
    shares = rows.pop("half window / whole window")
    own = rows.pop("guess mode, own weightings")
    assert own["latents apart"] > 1e-4  # 0.825^12 is not 0.1, and nearly so
    for case, row in rows.items():
        assert row["apart, of 255"] <= 1, case
        assert row["latents apart"] < 1e-5, case
        assert row["moved, of 255"] > 20, case
        controls, steps = 1 + ("two" in case), 4 + (case == "PNDM")  # it repeats one
        assert row["hints encoded, graft"] == controls, case
        assert row["hints encoded, diffusers"] == controls * steps, case
        assert row["controls computed, diffusers"] == controls * steps, case
        acting = 2 if case == "half window" else controls * steps
        assert row["controls computed, graft"] == acting, case
        assert row["TFLOP, graft"] < row["TFLOP, diffusers"], case
    assert shares["TFLOP, diffusers"] == 1
    assert shares["TFLOP, graft"] == pytest.approx(0.9035, abs=1e-3)


def test_functions_are_taught_and_composed_beside_one_that_does_all(measured: Measure) -> None:
    composed, same, whole, *differences = measured("functions")
    for row in (composed, same, whole):
        assert row["case"].startswith("3k tokens: ")
        assert row["questions"] == 2 * 4
        assert 0 <= row["from"] <= row["right"] <= row["to"] <= 100
        by_seed = [float(one) for one in row["by seed"].split(", ")]
        assert sum(by_seed) / 2 == pytest.approx(row["right"])
    for row in (composed, whole):
        assert 2 * (3000 - 2 * 130) < row["tokens"] <= 2 * 3000  # of both seeds
    assert same["tokens"] > composed["tokens"]  # the same texts, their calls written out
    assert len(differences) == 2


def test_training_is_measured_both_ways(measured: Measure) -> None:
    assert len(measured("train")) == 2


def test_memory_is_measured_of_each_number_of_texts(tmp_path: Path) -> None:
    assert len(alone("memory", tmp_path)) == 1


def test_search_is_measured_beside_bm25s_on_made_up_texts(tmp_path: Path) -> None:
    towns = [("Tovel", "1931"), ("Osk", "1840"), ("Karst", "1712"), ("Lorn", "1655")]
    told = {one: f"{one} was founded in {year} by settlers." for one, year in towns}
    texts, questions = tmp_path / "texts.jsonl", tmp_path / "questions.jsonl"
    texts.write_text(
        "".join(json.dumps({"title": one, "text": told[one]}) + "\n" for one, _ in towns)
    )
    asked = [
        {
            "question": {"en": f"When was {one} founded?"},
            "context": {"en": told[one]},
            "answer": {"en": year},
        }
        for one, year in towns
    ]
    questions.write_text("".join(json.dumps(one) + "\n" for one in asked))
    flags = (
        *("--texts", str(texts), "--questions", str(questions)),
        *("--paragraphs", "40", "--repeats", "1"),
    )
    rows = {row["case"]: row for row in alone("search", tmp_path, flags)}
    for side in ("graft", "graft with tantivy", "bm25s"):
        assert rows[f"answer among the first 5, percent, {side}"]["percent"] == 100
        assert rows[f"index 40 paragraphs, {side}"]["peak MiB"] > 1
        assert rows[f"4 queries, {side}"]["disk MiB"] > 0
    for own in ("graft", "graft with tantivy"):
        assert rows[f"both, bm25s / {own}"]["CPU s"] > 0
    assert rows["paragraphs of real texts, of 40"]["percent"] == 10
