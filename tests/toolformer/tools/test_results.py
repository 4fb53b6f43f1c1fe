"""What a function gives back is written the same way in every process."""

import collections
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pydantic
import pytest

from graft.errors import ToolError
from graft.toolformer.tools import results
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.function import function_tool
from graft.toolformer.tools.results import written
from graft.toolformer.tools.tool import Context

TOWNS = ["Brenn", "Karst", "Lorn", "Osk", "Tovel"]


class Region(pydantic.BaseModel):
    towns: set[str]
    pairs: frozenset[tuple[str, int]]


@dataclasses.dataclass(frozen=True, slots=True)
class Trip:
    towns: frozenset[str]
    later: int = dataclasses.field(init=False)


Row = collections.namedtuple("Row", ["towns"])
PAIRS = frozenset((town, len(town)) for town in TOWNS)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (set(TOWNS), TOWNS),
        ({10, 9, 1.5, "b", None}, [1.5, 9, 10, "b", None]),
        ({frozenset(TOWNS), frozenset("a")}, [TOWNS, ["a"]]),
        (collections.defaultdict(set, {"a": set(TOWNS)}), {"a": TOWNS}),
        (Row(set(TOWNS)), [TOWNS]),
        (Region(towns=set(TOWNS), pairs=PAIRS), {"towns": TOWNS, "pairs": sorted(PAIRS)}),
        ([{"in": Region(towns=set(), pairs=PAIRS)}], None),
    ],
    ids=range(7),
)
def test_a_set_is_written_in_order_wherever_it_stands(result: object, said: object) -> None:
    expected = [{"in": {"towns": [], "pairs": sorted(PAIRS)}}] if said is None else said
    assert written(result) == written(result)
    assert json.loads(written(result)) == json.loads(json.dumps(expected))


def test_a_result_is_given_back_as_it_was() -> None:
    trip = Trip(frozenset(TOWNS))
    object.__setattr__(trip, "later", 3)
    assert json.loads(written({trip})) == [{"towns": TOWNS, "later": 3}]
    assert type(trip.towns) is frozenset


def test_every_process_writes_a_set_alike() -> None:
    program = """
from graft.toolformer.tools.results import written
print(written({"Osk", "Tovel", "Brenn", "Lorn", "Karst"}))
"""
    sources = Path(results.__file__).parents[3]
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(sources), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert said == {f"{json.dumps(TOWNS)}\n"}


@pytest.mark.parametrize("result", [float("nan"), float("-inf"), [1.0, {"a": float("nan")}]])
def test_a_number_that_json_has_no_word_for_is_no_answer(result: object) -> None:
    def give(text: str) -> object:
        return result if text else None

    with pytest.raises(ToolError, match="its result cannot be written: Out of range float"):
        Executor().answer(function_tool(give), "x", Context())
