"""What `graft controlnet` refuses, in this process: nothing is trained."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.cli.app import app
from graft.errors import GraftError
from graft.store.whole import write_json
from graft.world.gallery import write_gallery


def refused(*words: str) -> str:
    """What a command that cannot be done is refused with."""
    done = CliRunner().invoke(app, ["controlnet", *words])
    assert isinstance(done.exception, GraftError), (done.output, done.exception)
    return str(done.exception)


def test_a_size_of_nothing_is_refused_as_others_are(tmp_path: Path) -> None:
    write_gallery(tmp_path / "few", 2)
    told = refused(
        "annotate", str(tmp_path / "few"), "--size", "0", "--out", str(tmp_path / "a")
    )
    assert told.startswith("size = 0: pictures for seedling are a multiple of")
    control = ("--control", "none", "--hint", "none", "--out", str(tmp_path / "b"))
    told = refused("run", "a star", "--base", "seedling", "--size", "0", *control)
    assert told.startswith("size = 0: pictures for seedling are a multiple of")


PAIRS = {"pairs": 9, "kept": 9, "dropped": {}, "warnings": []}
FIDELITY = dict.fromkeys(("controlled", "none", "shuffled", "ceiling", "low", "high"), 0.5)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}", "report.json: is damaged, without its fidelity; run its stage again"),
        ('{"fidelity": {"n": 4}}', "report.json: is damaged, without its fidelity"),
        (json.dumps({"fidelity": {**FIDELITY, "n": 4, "metric": "f1"}}), "its convergence"),
        ('{"fidelity"', "report.json: cannot be read"),
    ],
)
def test_a_damaged_report_is_named_with_the_remedy(
    tmp_path: Path, content: str, told: str
) -> None:
    write_json(tmp_path / "keep" / "report.json", PAIRS)
    (tmp_path / "report.json").write_text(content)
    assert told in refused("report", str(tmp_path))


def test_a_damaged_report_of_pairs_is_named_as_well(tmp_path: Path) -> None:
    write_json(tmp_path / "keep" / "report.json", {})
    write_json(tmp_path / "report.json", {})
    told = refused("report", str(tmp_path))
    assert (
        told
        == f"{tmp_path}/keep/report.json: is damaged, without its dropped; run its stage again"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("onset --seeds -1", "seed is from 0 to 2**63 - 1; asked for: seed = -1"),
        ("onset --seeds ,", "nothing to study: an option names nothing"),
        ("onset --only canny-7", "no variant 'canny-7'; there are: canny-0"),
        ("schedule --seeds -1", "asked for: seed = -1"),
        ("rate --set train.learning_rate=1e308", "finite; asked for: learning_rate = inf"),
        ("convergence --set train.learning_rate=1e308", "asked for: learning_rate = inf"),
        ("pictures --counts 0", "0 pictures: at least one is learnt from"),
    ],
)
def test_what_cannot_be_studied_is_refused_before_a_picture_is_read(
    tmp_path: Path, words: str, told: str
) -> None:
    given = ("--images", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"))
    assert told in refused("study", *words.split(), *given)
    assert not (tmp_path / "out").exists()
