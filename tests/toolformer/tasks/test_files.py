import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import DataError
from graft.toolformer.tasks.files import load_task, save_task
from graft.toolformer.tasks.task import Question, Task

JANUARY_30 = datetime.date(2023, 1, 30)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
written = st.lists(
    st.tuples(  # questions are made in the test: the runtime checks draw at random
        words,
        words,
        st.lists(words, min_size=1).map(tuple),
        st.sampled_from(["within_5_words", "within_20_words"]),
        st.none() | st.dates(),
    ),
    min_size=1,
    unique_by=lambda fields: fields[0],
)


@given(fields=written)
def test_a_saved_task_is_loaded_again(
    tmp_path_factory: pytest.TempPathFactory, fields: list[tuple]
) -> None:
    path = tmp_path_factory.mktemp("tasks") / "some.jsonl"
    task = Task("some", tuple(Question(*each) for each in fields))
    save_task(task, path)
    assert load_task(path) == task


def test_graft_reads_its_own_lines(tmp_path: Path) -> None:
    path = tmp_path / "sums.jsonl"
    path.write_text(
        '{"id": 7, "prompt": "7 * 8 is", "answers": ["56"], "metric": "first_number",'
        ' "date": "2023-01-30"}\n\n'
        '{"prompt": "It rained.", "metric": "no_call"}\n'
    )
    assert load_task(path, "mine") == Task(
        "mine",
        (
            Question("7", "7 * 8 is", ("56",), "first_number", JANUARY_30),
            Question("3", "It rained.", (), "no_call"),
        ),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no question in it"),
        ("{", "line 1: not JSON"),
        ("[" * 50_000, "line 1: not JSON"),
        ("\n[1]", r"line 2: not a record, but '\[1\]'"),
        ('{"metric": "no_call"}', "record 1: its 'prompt' is missing or no text"),
        ('{"prompt": " ", "metric": "no_call"}', "its 'prompt' is missing or no text"),
        ('{"prompt": "a", "metric": "none"}', "record 1: unknown metric 'none'"),
        ('{"prompt": "a", "answers": "b", "metric": "no_call"}', "'answers' is not a list"),
        ('{"id": 1, "prompt": "a", "metric": "no_call"}\n' * 2, "two questions are called '1'"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_its_record(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=f"task.jsonl.*{message}"):
        load_task(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_task(tmp_path / "missing.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match="not UTF-8 text"):
        load_task(tmp_path / "latin.jsonl")
