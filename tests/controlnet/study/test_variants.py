"""What finished trainings came to, side by side."""

import json
from dataclasses import replace
from pathlib import Path

from graft.config import load
from graft.controlnet.control import ControlConfig
from graft.controlnet.study.variants import Variant, outcomes, run_of
from graft.controlnet.workshop import TeachConfig

CONFIG = load(TeachConfig, None, ['images="pictures"'])
NUMBERS = ("confidence", "onset_step", "found_at", "onset_of_whole_curve")


def finished(out: Path, name: str, fidelity: list[float], ceiling: float = 0.9) -> None:
    """A run whose two watched pictures had this fidelity at steps 0, 10, 20, ..."""
    losses = {kind: [0.5, 0.5] for kind in ("true", "shuffled", "none")}
    told = {
        **dict.fromkeys(NUMBERS, 1),
        "verdict": "converged",
        "steps": 20,
        "ceiling": [ceiling, ceiling],
        "checks": [
            {"step": 10 * index, "fidelity": [value, value], **losses}
            for index, value in enumerate(fidelity)
        ],
    }
    report = {
        "fidelity": {"controlled": 0.8, "none": 0.1, "ceiling": 0.9},
        "held_out": {"pairs": 2, "pictures": 2},
        "seconds": {"train": 1.0},
        **dict.fromkeys(("prompt_agreement", "distance_to_real")),
    }
    (run_of(out, name) / "train").mkdir(parents=True)
    (run_of(out, name) / "train" / "convergence.json").write_text(json.dumps(told))
    (run_of(out, name) / "report.json").write_text(json.dumps(report))


def test_half_way_is_from_no_control_also_for_who_begins_with_one(tmp_path: Path) -> None:
    shaken = replace(
        CONFIG, train=replace(CONFIG.train, control=ControlConfig(joints="gaussian"))
    )
    finished(tmp_path, "shaken", [0.3, 0.3, 0.7])
    finished(tmp_path, "warm", [0.6, 0.6, 0.8])
    finished(tmp_path, "plain", [0.1, 0.1, 0.9])
    finished(tmp_path, "another condition", [0.4, 0.4, 0.8], ceiling=0.8)
    variants = [
        Variant("shaken", shaken),
        Variant("warm", CONFIG, begins_with="plain"),
        Variant("plain", CONFIG),
        Variant("another condition", CONFIG),
    ]
    found = {
        name: one["half_way"]["mean"] for name, one in outcomes(variants, tmp_path).items()
    }
    assert found == {"shaken": 15.0, "warm": 0.0, "plain": 15.0, "another condition": 15.0}
