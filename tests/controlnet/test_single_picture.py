"""A single picture is watched, or evaluated on: the wrong hint is still another picture's."""

import json

import numpy as np
import pytest

from graft.controlnet.control import ControlConfig, Controlled
from graft.controlnet.convergence import Check
from graft.controlnet.evaluate import EvaluateConfig, build_report, evaluate
from graft.controlnet.sampling import RunConfig
from graft.controlnet.teach import evaluate_run
from graft.controlnet.validation import wrong_hints
from graft.controlnet.workshop import Workshop
from graft.errors import DataError
from graft.store.whole import read_json
from small_bases import make_base
from small_controls import stirred
from small_pairs import CANNY, pairs_of
from small_trainings import Setting, watch


def test_of_several_pictures_each_gets_the_hint_of_another_one() -> None:
    pairs = pairs_of(3)
    hints = [pair.condition.pixels_HWC for pair in pairs]
    expected = [hints[2], hints[0], hints[1]]
    assert np.array_equal(wrong_hints(pairs), expected)
    assert np.array_equal(wrong_hints(pairs, pairs_of(1, first=9)[0]), expected)


def test_a_single_watched_picture_gets_the_hint_of_the_pair_that_lends_it(
    setting: Setting,
) -> None:
    (pair,), (other,) = pairs_of(1, first=100), pairs_of(1, first=200)
    controlled = Controlled(setting.base.unet, 4, ControlConfig())
    stirred(controlled)
    check = watch(setting.base, [pair], other).check(controlled, 1, pictures=False)
    lent = watch(setting.base, [pair, other]).check(controlled, 1, pictures=False)
    assert check.shuffled[0] == pytest.approx(lent.shuffled[0], rel=1e-5)
    assert check.gap[0] != 0


def test_a_single_watched_picture_without_another_is_refused(setting: Setting) -> None:
    with pytest.raises(DataError, match="100: is the only picture to watch; give another"):
        watch(setting.base, pairs_of(1, first=100))


def test_without_another_pair_a_single_picture_has_no_wrong_hint() -> None:
    base, (pair, other) = make_base("sd1", "v_prediction"), pairs_of(2)
    controlled = Controlled(base.unet, base.shrinking, ControlConfig())
    stirred(controlled)
    controlled.requires_grad_(False)
    settings = EvaluateConfig(run=RunConfig(steps=1))
    found = evaluate(base, controlled, [pair], CANNY, settings, other)
    assert not np.array_equal(found.pictures["shuffled"], found.pictures["controlled"])
    alone = build_report(evaluate(base, controlled, [pair], CANNY, settings), CANNY)
    assert json.loads(json.dumps(alone))["fidelity"]["shuffled"] is None


def test_of_five_pictures_one_is_watched_and_one_evaluated_on_with_wrong_hints(
    taught: Workshop,
) -> None:
    told = read_json(taught.root / "train" / "convergence.json")
    last = Check.from_table(told["checks"][-1])
    assert len(last.true) == 1
    assert last.gap[0] != 0
    list(evaluate_run(taught))
    folder = taught.root / "evaluate"
    (right,), (wrong,) = (
        list((folder / name).glob("*.png")) for name in ("controlled", "shuffled")
    )
    assert right.name == wrong.name
    assert right.read_bytes() != wrong.read_bytes()
