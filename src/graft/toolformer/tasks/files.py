"""Tasks in files: graft's own JSON lines, and how records of any file are read.

One line per question: `{"id": "7", "prompt": "7 * 8 is", "answers": ["56"], "metric":
"first_number", "date": "2023-01-30"}`; `date` may be left out.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from graft.errors import DataError
from graft.store.whole import write_text
from graft.toolformer.tasks.task import Question, Task
from graft.toolformer.tools.calendar import date_of_metadata

Fields = Mapping[str, object]


def load_task(path: Path, name: str | None = None) -> Task:
    """A task from JSON lines, called as its file unless `name` is given.

    Raises:
        DataError: names the file and the record that cannot be used.
    """
    questions = read_questions(path, json_lines(path))
    return task_of(name or path.stem, questions, path)


def save_task(task: Task, path: Path) -> None:
    """Write a task as `load_task` reads it; equal tasks give equal bytes."""
    lines = [json.dumps(_record(question), ensure_ascii=False) for question in task.questions]
    write_text(path, "".join(line + "\n" for line in lines))


def task_of(name: str, questions: Iterable[Question], path: Path) -> Task:
    """A task of questions, which must be some, with an id each."""
    found = tuple(questions)
    if not found:
        raise DataError(f"{path}: no question in it that the task {name} could ask")
    seen: set[str] = set()
    for question in found:
        if question.id in seen:
            raise DataError(f"{path}: two questions are called {question.id!r}; rename one")
        seen.add(question.id)
    return Task(name, found)


def read_questions(path: Path, records: Iterable[tuple[int, Fields]]) -> Iterator[Question]:
    """The questions of records in graft's own format."""
    for number, record in records:
        answers = record.get("answers", [])
        if not isinstance(answers, list) or not all(isinstance(one, str) for one in answers):
            raise DataError(f"{path}, record {number}: 'answers' is not a list of strings")
        try:
            yield Question(
                id=str(record.get("id", number)),
                prompt=text_of(record, "prompt", path, number),
                answers=tuple(cast("list[str]", answers)),
                metric=text_of(record, "metric", path, number),
                date=date_of_metadata(record.get("date")),
            )
        except ValueError as error:
            raise DataError(f"{path}, record {number}: {error}") from error


def json_lines(path: Path) -> Iterator[tuple[int, Fields]]:
    """The records of a file of JSON lines, each with the number of its line."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record: object = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number}: not a record, but {line[:40]!r}")
        yield number, cast("Fields", record)


def json_of(path: Path) -> object:
    """The whole file as one JSON value."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from error


def read_text(path: Path) -> str:
    """The whole file as text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason})") from error


def text_of(record: Fields, name: str, path: Path, number: int) -> str:
    """The field `name`, which must be a string with something in it."""
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{path}, record {number}: its {name!r} is missing or no text")
    return value


def _record(question: Question) -> dict[str, object]:
    record: dict[str, object] = {
        "id": question.id,
        "prompt": question.prompt,
        "answers": list(question.answers),
        "metric": question.metric,
    }
    return record | ({"date": question.date.isoformat()} if question.date else {})
