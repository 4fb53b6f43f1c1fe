"""What is claimed of a step of teaching a control, held against the recorded benchmark."""

from pathlib import Path
from typing import cast

import pytest

from graft.store.whole import read_json

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "controlnet.md").read_text(encoding="utf-8")
ROWS = cast(
    "list[dict[str, float | str]]",
    read_json(ROOT / "docs" / "results" / "benchmark-control_step.json")["rows"],
)
SHARES = {str(row["case"]): float(row["graft / script"]) for row in ROWS}
WAYS = (
    "activations kept",
    "cheap ones recomputed",
    "all recomputed",
    "a picture at a time",
    "cheap ones recomputed, two pictures at a time",
)
SINGLY = "a picture at a time"


def speed(pixels: int, threads: int, way: str) -> float:
    return SHARES[f"pictures/s, {pixels} pixels, {threads} thread{'s' * (threads > 1)}, {way}"]


def memory(pixels: int, way: str) -> float:
    return SHARES[f"peak MiB, {pixels} pixels, {way}"]


@pytest.mark.parametrize("pixels", [256, 512])
def test_on_one_thread_one_setting_is_fast_and_light_at_once(pixels: int) -> None:
    assert speed(pixels, 1, SINGLY) >= 1.4
    assert memory(pixels, SINGLY) <= 0.6


@pytest.mark.parametrize("way", WAYS)
def test_the_page_tells_what_was_measured(way: str) -> None:
    told = [
        number
        for pixels in (256, 512)
        for number in (
            f"{speed(pixels, 1, way):.2f}",
            f"{speed(pixels, 2, way):.2f}",
            f"{memory(pixels, way):.3f}",
        )
    ]
    assert f"| {way} | {' | '.join(told)} |" in PAGE


def test_the_page_tells_what_falls_short_and_what_the_script_can_do_too() -> None:
    best = max(speed(pixels, 2, way) for pixels in (256, 512) for way in WAYS)
    assert f"there the best is {best:.2f}," in PAGE
    alike = [speed(pixels, 1, f"{SINGLY}, as the script") for pixels in (256, 512)]
    told = " ".join(PAGE.split())
    assert f"then graft is {min(alike):.2f} to {max(alike):.2f} times as fast" in told
    shares = {f"{memory(pixels, f'{SINGLY}, as the script'):.2f}" for pixels in (256, 512)}
    assert shares == {"0.94"}
    assert "takes 0.94 of its memory" in told


@pytest.mark.parametrize(
    ("way", "work", "kept"),
    [("cheap ones recomputed", 0.697, 0.431), ("all recomputed", 0.864, 0.086)],
)
def test_at_the_true_size_so_much_work_and_so_many_activations(
    way: str, work: float, kept: float
) -> None:
    assert SHARES[f"true size, {way}: TFLOP"] == pytest.approx(work, abs=5e-4)
    found = SHARES[f"true size, {way}: GiB kept, attention fused"]
    assert found == pytest.approx(kept, abs=5e-4)
    assert f"{work:.3f}" in PAGE
    assert f"{kept:.3f}" in PAGE
