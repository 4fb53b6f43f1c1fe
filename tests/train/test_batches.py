from itertools import chain, islice

from hypothesis import given
from hypothesis import strategies as st

from graft.train.batches import draw_batches, split_batch, stream_batches

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=80)


@given(st.integers(1, 80), st.integers(1, 9), st.integers(0, 3))
def test_every_example_is_drawn_once_and_no_batch_is_too_large(
    count: int, rows: int, epoch: int
) -> None:
    batches = draw_batches(count, rows=rows, seed=1, epoch=epoch)
    assert sorted(chain.from_iterable(batches)) == list(range(count))
    assert sorted(map(len, batches))[1:] == [rows] * (len(batches) - 1)


@given(st.integers(1, 80), st.integers(1, 9), st.integers(0, 60))
def test_the_batches_from_a_step_on_are_those_of_the_whole_stream(
    count: int, rows: int, start: int
) -> None:
    whole = list(islice(stream_batches(count, rows=rows, seed=5), start + 5))
    late = list(islice(stream_batches(count, rows=rows, seed=5, start=start), 5))
    assert late == whole[start:]


def test_each_epoch_and_each_seed_has_its_own_order() -> None:
    def draw(seed: int, epoch: int) -> list[list[int]]:
        return draw_batches(40, rows=4, seed=seed, epoch=epoch)

    assert draw(0, 0) == draw(0, 0)
    assert draw(0, 0) != draw(0, 1)
    assert draw(0, 0) != draw(1, 0)
    assert draw(0, 0) != [list(range(k, k + 4)) for k in range(0, 40, 4)]


def test_a_short_batch_may_come_before_the_last() -> None:
    short = {draw_batches(70, rows=4, seed=k, epoch=0).index(batch)
             for k in range(9) for batch in draw_batches(70, rows=4, seed=k, epoch=0)
             if len(batch) == 2}  # fmt: skip
    assert len(short) > 3


@given(LENGTHS, st.integers(1, 120))
def test_a_batch_is_split_by_its_tokens(lengths: list[int], tokens: int) -> None:
    parts = split_batch(range(len(lengths)), lengths, tokens)
    assert sorted(chain.from_iterable(parts)) == list(range(len(lengths)))
    sizes = [sum(lengths[k] for k in part) for part in parts]
    for part, size in zip(parts, sizes, strict=True):
        assert size <= tokens or len(part) == 1
    for size, following in zip(sizes, parts[1:], strict=False):
        assert size + lengths[following[0]] > tokens  # none is split without need


def test_the_shortest_come_first() -> None:
    assert split_batch([0, 1, 2, 3, 4], [9, 2, 4, 3, 30], tokens=12) == [[1, 3, 2], [0], [4]]


def test_nothing_has_no_batches() -> None:
    assert draw_batches(0, rows=4, seed=0, epoch=0) == []
    assert list(stream_batches(0, rows=4, seed=0)) == []
