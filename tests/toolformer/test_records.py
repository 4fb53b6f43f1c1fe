import datetime
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.errors import DataError
from graft.store.shards import Format, read_shard, shard_name, write_shard
from graft.toolformer.call import Call
from graft.toolformer.dataset import Annotated, Candidate, Losses, Merged, Scored, Text
from graft.toolformer.records import ANNOTATED, MERGED, SCORED, TEXT

strings = st.text(st.characters(exclude_categories=["Cs"]))
inside = strings.filter(lambda text: not set(text) & set("[]\n") and "->" not in text)
numbers = st.floats(allow_nan=False)
tokens = st.lists(st.integers(0, 2**31 - 1)).map(tuple)
texts = st.builds(Text, strings, strings, st.none() | st.dates())
calls = st.builds(
    Call,
    st.from_regex(r"[A-Za-z]\w*", fullmatch=True),
    inside,
    st.none() | inside,
    st.just(True),
)
candidates = st.builds(Candidate, st.integers(0, 2**40), calls, numbers)
losses = st.builds(Losses, numbers, numbers, numbers)
counters = st.dictionaries(strings, st.integers(0, 2**40)).map(Counter[str])

CALL = Call("Calculator", "27 * 3", "81")
STORY = Text("a", "27 * 3 is 81", datetime.date(2023, 1, 30))


def through_a_shard(tmp_path: Path, kind: Format, records: list) -> list:
    path = tmp_path / shard_name(0)
    write_shard(path, map(kind.to_row, records), kind.schema)
    return [kind.from_row(row) for row in read_shard(path)]


@settings(max_examples=25)  # each writes four files to disk
@given(
    text=texts,
    found=st.lists(candidates, max_size=3),
    scores=st.lists(losses, min_size=3, max_size=3),
    counts=counters,
    ids=st.tuples(tokens, tokens),
    made=st.lists(calls, max_size=3),
)
def test_every_record_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, text, found, scores, counts, ids, made
) -> None:
    folder = tmp_path_factory.mktemp("records")
    for kind, record in (
        (TEXT, text),
        (ANNOTATED, Annotated(text, tuple(found), counts)),
        (SCORED, Scored(text, tuple(zip(found, scores, strict=False)))),
        (MERGED, Merged(text, *ids, tuple(made), len(found))),
    ):
        assert through_a_shard(folder, kind, [record]) == [record]


def test_no_result_an_empty_result_and_a_quoted_call_stay_apart(tmp_path: Path) -> None:
    made = (
        CALL,
        replace(CALL, result=None),
        replace(CALL, result=""),
        replace(CALL, quoted=True),
    )
    merged = Merged(STORY, (1, 2, 3), (1, 3), made)
    assert through_a_shard(tmp_path, MERGED, [merged])[0].calls == made


def test_the_order_in_which_proposals_were_counted_leaves_no_trace(tmp_path: Path) -> None:
    one, other = Counter(a=1, b=2), Counter(b=2, a=1)
    for name, counts in (("one", one), ("other", other)):
        row = ANNOTATED.to_row(Annotated(STORY, (), counts))
        write_shard(tmp_path / name / shard_name(0), [row], ANNOTATED.schema)
    first, second = (tmp_path / name / shard_name(0) for name in ("one", "other"))
    assert first.read_bytes() == second.read_bytes()


def test_the_shard_of_another_stage_is_refused() -> None:
    with pytest.raises(DataError, match="not scored texts: the columns are id, text, date and"):
        SCORED.from_row(TEXT.to_row(STORY))


def test_a_row_of_scores_stands_as_it_will_be_queried() -> None:
    row = SCORED.to_row(Scored(STORY, ((Candidate(3, CALL, 0.5), Losses(1.0, 2.0, 3.0)),)))
    assert row == {
        "id": "a",
        "text": "27 * 3 is 81",
        "date": datetime.date(2023, 1, 30),
        "candidates": [
            {
                "position": 3,
                "call": {
                    "tool": "Calculator",
                    "argument": "27 * 3",
                    "result": "81",
                    "quoted": False,
                },
                "probability": 0.5,
                "with_result": 1.0,
                "without_result": 2.0,
                "without_call": 3.0,
            }
        ],
    }
