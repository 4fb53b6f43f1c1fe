import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from graft.controlnet.condition import Condition
from graft.controlnet.dataset import Pair
from graft.controlnet.records import PAIR, encode_png, read_png
from graft.errors import DataError
from graft.store.shards import read_shard, shard_name, write_shard

strings = st.text(st.characters(exclude_categories=["Cs"]))
values = (
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | strings
)
sides = st.tuples(st.integers(1, 9), st.integers(1, 9))
pictures = sides.flatmap(lambda side: arrays(np.uint8, (*side, 3)))
parameters = st.dictionaries(strings, values)


def grey(level: int = 7, side: int = 4) -> np.ndarray:
    return np.full((side, side, 3), level, dtype=np.uint8)


def pair(**parameters: object) -> Pair:
    return Pair("a", grey(), "grey", Condition("canny", grey(255), parameters), ("greyscale",))


def same(one: Pair, other: Pair) -> bool:
    first, second = one.condition, other.condition
    return (
        (one.id, one.caption, one.faults) == (other.id, other.caption, other.faults)
        and (first.kind, first.parameters, first.brought)
        == (second.kind, second.parameters, second.brought)
        and np.array_equal(one.pixels_HWC, other.pixels_HWC)
        and np.array_equal(first.pixels_HWC, second.pixels_HWC)
    )


@settings(max_examples=60)
@given(
    words=st.tuples(strings, strings, strings),
    both=st.tuples(pictures, pictures),
    drawn_with=parameters,
    faults=st.lists(strings).map(tuple),
    brought=st.booleans(),
)
def test_a_pair_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, words, both, drawn_with, faults, brought
) -> None:
    name, caption, kind = words
    pair = Pair(name, both[0], caption, Condition(kind, both[1], drawn_with, brought), faults)
    path = tmp_path_factory.mktemp("records") / shard_name(0)
    write_shard(path, [PAIR.to_row(pair)], PAIR.schema)
    (row,) = read_shard(path)
    assert same(PAIR.from_row(row), pair)


def test_a_parameter_keeps_its_type() -> None:
    read = PAIR.from_row(PAIR.to_row(pair(low=100, sigma=1.0, soft=True, name="1")))
    found = read.condition.parameters
    assert {key: type(value) for key, value in found.items()} == {
        "low": int,
        "sigma": float,
        "soft": bool,
        "name": str,
    }


def test_the_order_of_parameters_leaves_no_trace(tmp_path: Path) -> None:
    for name, one in (("one", pair(low=1, high=2)), ("other", pair(high=2, low=1))):
        write_shard(tmp_path / name / shard_name(0), [PAIR.to_row(one)], PAIR.schema)
    first, second = (tmp_path / name / shard_name(0) for name in ("one", "other"))
    assert first.read_bytes() == second.read_bytes()


def test_a_row_stands_as_users_of_hugging_face_expect_it() -> None:
    row = PAIR.to_row(pair(low=100))
    assert list(row) == PAIR.schema.names
    assert row["text"] == "grey"
    assert row["kind"] == "canny"
    assert json.loads(str(row["parameters"])) == {"low": 100}
    assert row["faults"] == ["greyscale"]
    for column, level in (("image", 7), ("conditioning_image", 255)):
        png = row[column]
        assert isinstance(png, bytes)
        assert png.startswith(b"\x89PNG")
        assert read_png(png).tolist() == grey(level).tolist()


def test_what_is_read_may_be_written_to() -> None:
    read_png(encode_png(grey()))[0, 0] = 1


def test_rows_of_something_else_and_damaged_pictures_are_refused() -> None:
    with pytest.raises(
        DataError, match="not pairs of a picture and its condition: the columns"
    ):
        PAIR.from_row({"id": "a", "text": "grey"})
    with pytest.raises(DataError, match="damaged"):
        PAIR.from_row({**PAIR.to_row(pair()), "image": encode_png(grey(side=64))[:60]})
    with pytest.raises(DataError, match="JSON cannot hold"):
        PAIR.to_row(pair(sigma=float("nan")))
