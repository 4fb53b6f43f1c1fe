"""What is prepared ahead: in order, at most so much of it, and never after the end."""

import threading
from itertools import count

import pytest

from graft.train.ahead import prepare_ahead

SECONDS = 30


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("ahead")]


def test_what_comes_out_is_what_map_gives() -> None:
    assert list(prepare_ahead(range(7), str)) == list(map(str, range(7)))
    assert list(prepare_ahead([], str)) == []
    assert threads() == []


def test_the_next_is_prepared_while_the_caller_is_busy_with_one() -> None:
    begun = [threading.Event() for _ in range(6)]

    def prepare(item: int) -> str:
        begun[item].set()
        return threading.current_thread().name

    ready = prepare_ahead(range(6), prepare, count=2)
    name = next(ready)  # the caller is busy with item 0 now
    assert name.startswith("ahead")
    assert begun[1].wait(SECONDS)
    assert begun[2].wait(SECONDS)
    assert not begun[3].wait(0.05)
    next(ready)
    assert begun[3].wait(SECONDS)
    assert len(list(ready)) == 4


def test_what_goes_wrong_is_told_in_its_turn() -> None:
    def prepare(item: int) -> int:
        if item == 2:
            raise ValueError(f"item {item} is damaged")
        return item

    ready = prepare_ahead(count(), prepare)
    assert [next(ready), next(ready)] == [0, 1]
    with pytest.raises(ValueError, match="item 2 is damaged") as told:
        next(ready)
    assert "prepare" in [one.name for one in told.traceback]
    assert threads() == []


def test_items_that_cannot_be_read_are_told_of_too() -> None:
    def items():
        yield 0
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        list(prepare_ahead(items(), str))
    assert threads() == []


def test_a_caller_that_stops_leaves_no_thread_and_nothing_is_prepared_any_more() -> None:
    done: list[int] = []
    let, begun = threading.Event(), threading.Event()

    def prepare(item: int) -> int:
        if item == 1:
            begun.set()
            let.wait(SECONDS)
        done.append(item)
        return item

    ready = prepare_ahead(count(), prepare, count=3)
    assert next(ready) == 0
    assert begun.wait(SECONDS)
    threading.Timer(0.05, let.set).start()
    with pytest.raises(KeyboardInterrupt):  # as Ctrl-C has it, in whatever the caller does
        ready.throw(KeyboardInterrupt)
    assert done == [0, 1]
    assert threads() == []
