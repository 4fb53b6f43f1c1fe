"""What is drawn for a training: whose prompt is emptied, and which noise at which time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graft.controlnet.lessons import Drawn, draw_lessons, draw_noise
from small_trainings import SETTINGS, Setting


def test_prompts_are_emptied_for_half_of_the_pictures_and_anew_in_each_epoch(
    setting: Setting,
) -> None:
    settings = replace(SETTINGS, steps=300)
    drawn = [
        one for parts in draw_lessons(setting.lessons, 0, settings) for p in parts for one in p
    ]
    share = sum(one.silent for one in drawn) / len(drawn)
    assert share == pytest.approx(0.5, abs=0.05)
    of_first = [one.silent for one in drawn if one.index == 0]
    assert len(set(of_first)) == 2
    assert len({one.seed for one in drawn}) == len(drawn)


def test_times_are_drawn_evenly_or_late_ones_more_often() -> None:
    def times(power: float) -> np.ndarray:
        drawn = (Drawn(0, seed, silent=False) for seed in range(4000))
        return np.array([draw_noise(one, torch.zeros(1), 1000, power)[1] for one in drawn])

    even = times(1.0)
    assert (even.min(), even.max()) == (0, 999)
    generator = torch.Generator().manual_seed(3)
    assert even[3] == int(torch.randint(1000, (1,), generator=generator))
    assert np.histogram(even, 4, (0, 1000))[0] == pytest.approx([1000] * 4, abs=100)
    late = times(0.5)  # u**0.5 < x with chance x**2
    assert late.max() <= 999
    assert np.mean(late < 500) == pytest.approx(0.25, abs=0.03)
    assert np.array_equal(late, np.floor(1000 * np.sqrt((even + 0.5) / 1000)))


def test_training_draws_its_times_by_the_power_that_is_asked_for(
    setting: Setting, tmp_path: Path
) -> None:
    one_step = replace(SETTINGS, steps=1)
    even = setting.train(tmp_path / "even", one_step)
    late = setting.train(tmp_path / "late", replace(one_step, time_power=0.3))
    assert even[0].loss != late[0].loss
    with pytest.raises(ValueError, match="time_power is above 0"):
        replace(one_step, time_power=0.0)


def test_the_memory_of_squares_is_the_settings(setting: Setting, tmp_path: Path) -> None:
    """The first loss is the base's own; those behind it are of other steps."""
    long = setting.train(tmp_path / "long", replace(SETTINGS, beta2=0.999))
    short = setting.train(tmp_path / "short", replace(SETTINGS, beta2=0.5))
    assert long[0].loss == short[0].loss
    assert long[-1].loss != short[-1].loss
    with pytest.raises(ValueError, match="beta2 is at least 0 and below 1"):
        replace(SETTINGS, beta2=1.0)
