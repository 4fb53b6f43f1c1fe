from itertools import chain, islice

from hypothesis import given
from hypothesis import strategies as st

from graft.train.batches import draw_batches, split_batch, stream_batches

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=80)


@given(LENGTHS, st.integers(1, 9), st.integers(1, 120), st.integers(0, 3))
def test_every_example_is_drawn_once_and_no_batch_is_too_large(
    lengths: list[int], rows: int, tokens: int, epoch: int
) -> None:
    batches = draw_batches(lengths, rows=rows, seed=1, epoch=epoch, tokens=tokens)
    assert sorted(chain.from_iterable(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= rows
        assert len(batch) * max(lengths[k] for k in batch) <= tokens or len(batch) == 1


@given(LENGTHS, st.integers(1, 9), st.integers(0, 60))
def test_the_batches_from_a_step_on_are_those_of_the_whole_stream(
    lengths: list[int], rows: int, start: int
) -> None:
    whole = list(islice(stream_batches(lengths, rows=rows, seed=5), start + 5))
    late = list(islice(stream_batches(lengths, rows=rows, seed=5, start=start), 5))
    assert late == whole[start:]


def test_without_a_token_limit_only_the_last_batch_drawn_is_short() -> None:
    sizes = [len(b) for b in draw_batches([3] * 70, rows=4, seed=0, epoch=0)]
    assert sorted(sizes) == [2] + [4] * 17


def test_examples_of_like_length_stand_together() -> None:
    lengths = [1 + (k * 37) % 64 for k in range(64)]
    batches = draw_batches(lengths, rows=8, seed=0, epoch=0)
    for batch in batches:
        within = [lengths[k] for k in batch]
        assert within == sorted(within)
        assert within[-1] - within[0] == 7


def test_each_epoch_and_each_seed_has_its_own_order() -> None:
    lengths = [5] * 40

    def draw(seed: int, epoch: int) -> list[list[int]]:
        return draw_batches(lengths, rows=4, seed=seed, epoch=epoch)

    assert draw(0, 0) == draw(0, 0)
    assert draw(0, 0) != draw(0, 1)
    assert draw(0, 0) != draw(1, 0)
    assert draw(0, 0) != [list(range(k, k + 4)) for k in range(0, 40, 4)]


def test_long_batches_do_not_all_come_last() -> None:
    lengths = list(range(1, 65))
    longest = [lengths[b[-1]] for b in draw_batches(lengths, rows=8, seed=0, epoch=0)]
    assert longest != sorted(longest)


def test_a_batch_is_split_by_its_padded_size() -> None:
    lengths = [9, 2, 4, 3, 30]
    assert split_batch([0, 1, 2, 3, 4], lengths, tokens=12) == [[1, 3, 2], [0], [4]]
    assert split_batch([4, 1, 0], lengths) == [[1, 0, 4]]


def test_nothing_has_no_batches() -> None:
    assert draw_batches([], rows=4, seed=0, epoch=0) == []
    assert list(stream_batches([], rows=4, seed=0)) == []
