"""What is said of studies whose outcomes are known."""

import json
from pathlib import Path

import pytest

from graft.cli.record import this_command
from graft.cli.studies import draw, page, told
from graft.controlnet.study.levers import compare_levers
from graft.controlnet.study.onset import compare_onsets, compare_rates
from graft.controlnet.study.schedule import choices, compare_schedules

HEAD = {"command": "graft", "date": "2026-01-01", "machine": "one", "commit": "abc"}


def outcome(
    half: float | None, verdict: str = "converged", onset: int | None = 100
) -> dict[str, object]:
    step = None if half is None else {"mean": half, "low": half - 9, "high": half + 9, "n": 4}
    fidelity = {"metric": "edge_f1", "controlled": 0.7, "low": 0.6, "high": 0.8}
    return {
        "verdict": verdict,
        "onset_step": onset,
        "onset_of_whole_curve": 105,
        "steps": 800,
        "half_way": step,
        "fidelity": {**fidelity, "none": 0.3, "ceiling": 0.9, "n": 4},
        "closed": 2 / 3,
        "curve": [[0, 0.3], [100, 0.5], [200, 0.7]],
    }


def lines(name: str, report: dict[str, object], tmp_path: Path) -> str:
    """The page's text; its picture can be drawn too."""
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    draw(name, path, tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 5000
    assert f"![{name}](study-{name}.png)" in page(name, {**HEAD, "report": report})
    return "\n".join(told(name, report))


def test_the_recorded_command_is_the_one_that_ran_wherever_its_record_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["graft", "study", "--record", "docs", "x", "--set", "a b=1", "--record=docs", "-y"]
    monkeypatch.setattr("sys.argv", words)
    assert this_command() == "graft study x --set 'a b=1' -y"


def test_tiles_are_not_told_as_pictures(tmp_path: Path) -> None:
    one = {**outcome(100.0), "held_out": {"pairs": 4, "pictures": 2}}
    assert "on 4 held-out tiles of 2 pictures;" in lines(
        "pictures", {"variants": {"9": one}}, tmp_path
    )
    whole = {**one, "held_out": {"pairs": 4, "pictures": 4}}
    assert "on 4 held-out pictures;" in lines("pictures", {"variants": {"9": whole}}, tmp_path)


def test_levers_are_told_beside_the_script(tmp_path: Path) -> None:
    found = {
        "script-rate-1": outcome(400.0),
        "together": outcome(100.0),
        "decay": outcome(None),
        "warm-start": outcome(0.0),
        "average": outcome(500.0),
    }
    text = lines("convergence", {"variants": found, **compare_levers(found)}, tmp_path)
    assert "at its best rate here, script-rate-1:" in text
    assert "* together: 4.00 times fewer steps" in text
    assert "* decay: never half way" in text
    assert "* average: 1.25 times as many steps" in text
    assert "* script-rate-1: the same, it is itself" in text
    assert "* warm-start: half way before its first step, for it begins with" in text
    assert (
        "| together | 100 (91-109) | 105 | 100 | converged | 0.700 (0.600-0.800) | 67% |"
        in text
    )


def test_a_lower_bound_is_told_as_one(tmp_path: Path) -> None:
    found = {"script-rate-1": outcome(None), "together": outcome(100.0)}
    text = lines("convergence", {"variants": found, **compare_levers(found)}, tmp_path)
    assert "script-rate-1 (it never came half way: a lower bound):" in text
    assert "* together: 8.00 times fewer steps" in text


def test_onsets_are_told_with_the_one_that_is_furthest_off(tmp_path: Path) -> None:
    found = {
        "canny-0": outcome(90.0),
        "canny-1": outcome(90.0, "learning", None),
        "canny-0-mixed": outcome(None, "will not converge", None),
        "canny-1-mixed": outcome(None, "waiting", None),
    }
    text = lines("onset", {"variants": found, **compare_onsets(found)}, tmp_path)
    assert "1 of 2 onsets; the furthest off 4.8% from that of the whole curve" in text
    assert "Refused: 1 of 2 mixed up." in text


def test_schedules_are_told_over_seeds_and_one_by_one(tmp_path: Path) -> None:
    first, second, *others = choices()
    halves = {name: [50.0, 60.0] for name in (first, *others)}
    found = {
        f"canny-{seed}-{name}": outcome(step)
        for name, steps in {**halves, second: [100.0, None]}.items()
        for seed, step in enumerate(steps)
    }
    report = {"variants": found, "choices": compare_schedules(found)}
    text = lines("schedule", report, tmp_path)
    assert f"| {first} | 55 | 1.00 (1.00 to 1.00) | 66.7% | +0.0 (+0.0 to +0.0) |" in text
    assert f"| {second} | 100 (1 of 2 never) | 2.00 | 66.7% | +0.0 (+0.0 to +0.0) |" in text
    assert f"| canny-0-{first} | 50 (" in text
    assert f"| canny-1-{second} | never |" in text


def test_slopes_are_told_with_their_intervals(tmp_path: Path) -> None:
    found = {f"all-{times:g}": outcome(100 / times) for times in (0.5, 1.0, 2.0, 4.0)}
    text = lines("rate", {"variants": found, "slopes": compare_rates(found)}, tmp_path)
    assert "* every rate scaled: slope -1.00 (-1.00 to -1.00)" in text
    assert "* the zero convolutions' rate alone: too few came half way" in text


def test_each_number_of_pictures_has_its_line(tmp_path: Path) -> None:
    found = {"30": outcome(None), "100": outcome(300.0)}
    text = lines("pictures", {"variants": found}, tmp_path)
    assert "| 30 pictures | never |" in text
    assert "| 100 pictures | 300 (291-309) |" in text
