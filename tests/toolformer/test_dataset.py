import datetime
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.models.huggingface import HuggingFaceModel
from graft.toolformer.call import Call, render, render_asked
from graft.toolformer.dataset import (
    Text,
    answer_tokens,
    call_tokens,
    generator,
    splice,
)
from graft.toolformer.tools.tool import Context

# U+2581 is how SentencePiece writes a space: there, and only there, it does not come back
WRITTEN = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="[]▁"), max_size=12
)
CALLS = [
    Call("Calculator", "(47 + 38)", "85"),
    Call("Calculator", "(2 - (3))", ""),
    Call("Search", "Osk river (Venna)", "Osk > The (Osk) flows", quoted=True),
    Call("Calendar", "", "Today is Monday, January 30, 2023."),
    Call("Calendar", ""),
]
TEXT = "Mara had 47 apples (and 38 plums) in Venna — 85 naïve ones [1]."


def joined(model: HuggingFaceModel, tokens: Sequence[int]) -> str:
    """What tokens read as behind other text."""
    anchor = model.encode("a")
    return model.decode([*anchor, *tokens])[len(model.decode(anchor)) :]


def assert_markers_stand_alone(model: HuggingFaceModel, call: Call) -> None:
    """Opening, question, arrow, answer and closing are each made of tokens of their own."""
    parts = [" [", render_asked(call)]
    if call.result is not None:
        parts += [" ->", *([f" {call.result}"] if call.result else [])]
    tokens, done = call_tokens(model, call), 0
    for part in [*parts, "]"]:
        here = model.encode_after(part)
        assert tokens[done : done + len(here)] == here
        assert joined(model, here) == part
        done += len(here)
    assert done == len(tokens)
    assert joined(model, tokens) == f" {render(call)}"


@pytest.mark.parametrize("call", CALLS, ids=render)
def test_no_token_of_a_call_reaches_over_a_marker(reader, call: Call) -> None:
    assert_markers_stand_alone(reader, call)


@given(argument=WRITTEN, result=st.none() | WRITTEN, quoted=st.booleans())
def test_nor_whatever_is_asked_and_answered(
    reader, argument: str, result: str | None, *, quoted: bool
) -> None:
    try:
        call = Call("Search", argument, quoted=quoted)
    except ValueError:  # not writable as a call
        return
    assert_markers_stand_alone(reader, call if result is None else call.answered(result))


def test_an_answer_is_what_follows_the_arrow(reader) -> None:
    for call in CALLS:
        if call.result is not None:
            answer = answer_tokens(reader, call.result)
            assert call_tokens(reader, call)[-len(answer) :] == answer
            assert joined(reader, answer) == render(call).partition(" ->")[2]


def test_before_any_token_a_call_is_spliced_and_the_texts_tokens_stay(reader) -> None:
    tokens, call = reader.encode(TEXT), CALLS[0]
    written = call_tokens(reader, call)
    for i in range(len(tokens) + 1):
        spliced = splice(reader, tokens, [(i, call)])
        assert spliced == [*tokens[:i], *written, *tokens[i:]]


def test_several_calls_are_spliced_at_their_places_whatever_their_order(reader) -> None:
    tokens = reader.encode(TEXT)
    placed = [(0, CALLS[3]), (4, CALLS[0]), (7, CALLS[2]), (len(tokens), CALLS[1])]
    expected: list[int] = []
    cuts = [0, 0, 4, 7, len(tokens)]
    for (start, stop), (_, call) in zip(pairwise(cuts), placed, strict=True):
        expected += [*tokens[start:stop], *call_tokens(reader, call)]
    assert splice(reader, tokens, placed) == expected
    assert splice(reader, tokens, placed[::-1]) == expected


def test_a_spliced_text_reads_as_the_text_with_the_call_before_its_word(reader) -> None:
    at = reader.token_at(TEXT, TEXT.index(" apples"))
    spliced = splice(reader, reader.encode(TEXT), [(at, CALLS[0])])
    read = "Mara had 47 [Calculator((47 + 38)) -> 85] apples"
    assert reader.decode(spliced).lstrip().startswith(read)


def test_splicing_nothing_gives_the_text_and_leaves_its_argument(reader) -> None:
    tokens = reader.encode(TEXT)
    before = list(tokens)
    assert splice(reader, tokens, []) == tokens
    splice(reader, tokens, [(1, CALLS[0])])
    assert tokens == before


def test_draws_belong_to_seed_and_names_and_to_nothing_else() -> None:
    first = generator(0, "annotate", "text 7", "Calculator", 3).random(4).tolist()
    generator(0, "annotate", "text 8", "Calculator", 3).random(100)
    assert generator(0, "annotate", "text 7", "Calculator", 3).random(4).tolist() == first
    others = [
        generator(1, "annotate", "text 7", "Calculator", 3),
        generator(0, "annotate", "text 8", "Calculator", 3),
        generator(0, "annotate", "text 7", "Calculator", 4),
        generator(0, "annotate", "text 7", "Calculator", "3"),
        generator(0, "annotate", "text 7Calculator", "", 3),
    ]
    assert all(first != other.random(4).tolist() for other in others)


def test_draws_are_the_same_on_every_machine() -> None:
    # from blake2b and numpy's PCG64, both fixed for all time: old runs can be resumed
    assert generator(0, "a").integers(1000, size=4).tolist() == [269, 398, 386, 936]


def test_a_tool_knows_the_day_of_the_text_it_is_asked_from() -> None:
    day = datetime.date(2023, 1, 30)
    assert Text("a", "b", day).context == Context(day, "b")
    assert Text("a", "b").context == Context(None, "b")
