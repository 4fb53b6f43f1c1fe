import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.errors import DataError
from graft.toolformer.tasks.benchmarks import (
    load_asdiv,
    load_benchmark,
    load_lama,
    load_questions,
    load_squad,
    load_xquad_lines,
    open_tasks,
)
from graft.toolformer.tasks.task import Question, Task

BESIDE = Path(__file__).parents[4] / "shared" / "data"
DATA = Path(os.environ.get("GRAFT_DATA", BESIDE)) / "eval"


def data(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"no {name} in {DATA}; GRAFT_DATA names the folder above eval/")
    return DATA / name


def test_asdiv_is_read_from_its_xml(tmp_path: Path) -> None:
    path = tmp_path / "ASDiv.xml"
    path.write_text(
        """<?xml version="1.0" encoding="UTF-8" ?>
<Machine-Reading-Corpus-File><ProblemSet>
<Problem ID="nluds-0001" Grade="1" Source="http://www.k5learning.com">
  <Body>Seven red apples and two green apples are in the basket.</Body>
  <Question>How many apples are in the basket?</Question>
  <Solution-Type>Addition</Solution-Type><Answer>9 (apples)</Answer><Formula>7+2=9</Formula>
</Problem>
<Problem ID="30"><Body>Two.</Body><Question>Who?</Question><Answer>Mrs. Hilt</Answer></Problem>
<Problem ID="175"><Body>At 2:00.</Body><Question>When?</Question><Answer>5:45</Answer></Problem>
<Problem ID="2000"><Body>A.</Body><Question>B?</Question><Answer>1,234.5</Answer></Problem>
</ProblemSet></Machine-Reading-Corpus-File>"""
    )
    asked = (
        "Seven red apples and two green apples are in the basket. How many apples are in the"
        " basket? The answer is"
    )
    assert load_asdiv(path) == Task(
        "asdiv",
        (
            Question("nluds-0001", asked, ("9",), "first_number"),
            Question("2000", "A. B? The answer is", ("1,234.5",), "first_number"),
        ),
    )


def test_lama_is_read_from_both_of_its_forms(tmp_path: Path) -> None:
    path = tmp_path / "lama.jsonl"
    records = [
        {
            "masked_sentences": ["The TV series was aired by [MASK]."],
            "obj_label": "CBS",
            "id": "5_0",
        },
        {"masked_sentences": ["The [MASK] color was used."], "obj_label": "gold", "id": "5_1"},
        {
            "pred": "/people/person/place_of_birth",
            "sub_label": "Khatchig Mouradian",
            "obj_label": "Lebanon",
            "uuid": "9c68",
            "masked_sentences": ["He is a journalist born in [MASK] ."],
        },
        {
            "pred": "/people/person/date_of_birth",
            "sub_label": "P",
            "obj_label": "1941",
            "uuid": "1",
        },
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    complete = "Please complete the following text so that it is factually correct: "
    assert load_lama(path).questions == (
        Question("5_0", complete + "The TV series was aired by", ("CBS",), "within_5_words"),
        Question(
            "9c68", complete + "Khatchig Mouradian was born in", ("Lebanon",), "within_5_words"
        ),
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "webquestions.json",
            '[{"url": "x", "utterance": "who?", "targetValue": "(list (description'
            ' \\"Jazmyn Bieber\\") (description Jaxon))"}]',
        ),
        ("brmson.json", '[{"qId": 1, "qText": "who?", "answers": ["Jazmyn Bieber", "Jaxon"]}]'),
        ("nq.jsonl", '{"question": "who?", "answer": ["Jazmyn Bieber", "Jaxon"]}'),
        ("plain.jsonl", '{"id": 1, "question": "who?", "answers": ["Jazmyn Bieber", "Jaxon"]}'),
    ],
)
def test_open_questions_are_read_from_each_form(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    asked = "Answer the following question: who?"
    answers = ("Jazmyn Bieber", "Jaxon")
    assert load_questions(tmp_path / name) == Task(
        Path(name).stem, (Question("1", asked, answers, "within_20_words"),)
    )


def squad(question: str) -> str:
    asked = {
        "id": "a",
        "question": question,
        "answers": [{"text": "308", "answer_start": 9}] * 2,
    }
    none = {"id": "b", "question": "?", "answers": []}
    paragraphs = [{"context": "They gave up 308 points.", "qas": [asked, none]}]
    return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]})


def test_squad_is_read_in_one_language_or_in_two(tmp_path: Path) -> None:
    english, german = tmp_path / "xquad.en.json", tmp_path / "xquad.de.json"
    english.write_text(squad("How many?"))
    german.write_text(squad("Wie viele?"))
    for path, asked in ((english, "How many?"), (german, "Wie viele?")):
        [question] = load_squad(english, path).questions
        assert question == Question(
            "a",
            "Your task is to answer a question based on the following paragraph: They gave up"
            f" 308 points. Now answer the following question in English: {asked}",
            ("308",),
            "within_10_words",
        )
    assert load_benchmark("squad", english) == load_squad(english)


@pytest.mark.parametrize(
    ("load", "name", "content", "message"),
    [
        (load_asdiv, "a.xml", "<Problem>", "not readable as XML"),
        (load_asdiv, "a.xml", "<P><Problem/></P>", "record 1: a problem without a question"),
        (load_asdiv, "a.xml", "<P/>", "no question in it"),
        (load_lama, "a.jsonl", '{"query": "[MASK]"}', "record 1: its 'answer' is missing"),
        (load_questions, "a.json", "{}", "not a list of records"),
        (load_questions, "a.json", "[3]", "record 1: not a record"),
        (load_questions, "a.jsonl", '{"question": "?"}', "record 1: no question, or no answer"),
        (load_squad, "a.json", '{"data": [{}]}', "not in the form of SQuAD"),
        (load_squad, "a.json", "[]", "not in the form of SQuAD"),
        (load_squad, "missing.json", None, "cannot be read"),
    ],
)
def test_a_file_of_another_form_is_refused_by_its_record(
    tmp_path: Path, load: Callable[[Path], Task], name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / name)


def test_an_unknown_kind_of_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown kind of task 'svamp'; there are graft, asdiv"):
        load_benchmark("svamp", tmp_path)


@pytest.mark.parametrize(
    ("load", "name", "count"),
    [
        (load_asdiv, "asdiv.jsonl", 2305 - 141),
        (load_lama, "lama_google_re.jsonl", 2937 + 766),
        (load_questions, "nq_open_dev.jsonl", 3610),
        (load_questions, "webquestions_test.jsonl", 2032),
    ],
)
def test_whole_benchmarks_are_read_and_their_answers_are_right(
    load: Callable[[Path], Task], name: str, count: int
) -> None:
    task = load(data(name))
    assert len(task.questions) == count
    right = sum(question.is_right(f" {question.answers[0]}", 0) for question in task.questions)
    assert right >= 0.99 * count


def test_cloze_sentences_of_squad_end_in_the_one_thing_that_is_missing() -> None:
    task = load_lama(data("lama_squad.jsonl"))
    assert len(task.questions) == 210
    assert not any("[MASK]" in question.prompt for question in task.questions)


def test_one_question_is_asked_in_every_language_about_the_english_paragraph() -> None:
    german, chinese = (
        load_xquad_lines(data("xquad_7_languages.jsonl"), language) for language in ("de", "zh")
    )
    assert german.questions[0].prompt.endswith(
        "Wie viele Punkte gab die Verteidigung der Panthers ab?"
    )
    assert chinese.questions[0].prompt.endswith("黑豹队的防守丢了多少分？")  # noqa: RUF001
    assert "gave up just 308 points" in german.questions[0].prompt
    assert german.questions[0].answers == chinese.questions[0].answers == ("308",)


def test_a_recipe_names_a_benchmark_by_its_kind_or_a_file_alone(tmp_path: Path) -> None:
    problem = {"id": "1", "question": "Two and two?", "answer": 4.0}
    own = {"id": "1", "prompt": "2 and 2 make", "answers": ["4"], "metric": "first_number"}
    (tmp_path / "theirs.jsonl").write_text(json.dumps(problem) + "\n")
    (tmp_path / "ours.jsonl").write_text(json.dumps(own) + "\n")
    theirs, ours = open_tasks(
        [f"asdiv:{tmp_path / 'theirs.jsonl'}", str(tmp_path / "ours.jsonl")]
    )
    assert theirs.questions[0].prompt == "Two and two? The answer is"
    assert ours.questions[0].prompt == "2 and 2 make"
    with pytest.raises(DataError, match="unknown kind of task 'svamp'"):
        open_tasks([f"svamp:{tmp_path / 'ours.jsonl'}"])


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    own = {"prompt": "2 and 2 make", "answers": ["4"], "metric": "first_number"}
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "sums.jsonl").write_text(json.dumps(own) + "\n")
    with pytest.raises(DataError, match="both tasks are called 'sums'"):
        open_tasks([str(tmp_path / folder / "sums.jsonl") for folder in ("one", "other")])
