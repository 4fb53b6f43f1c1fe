from dataclasses import replace

import numpy as np
import torch

from graft.grow.batches import draw_batch, encode_pieces
from graft.grow.language import batch_of, prompts
from graft.grow.lessons import LessonConfig, Piece, draw_lesson, exercise


def test_a_batch_depends_on_seed_and_step_alone(tiny, tokenizer) -> None:
    first = [batch_of(tiny, tokenizer, step) for step in range(4)]
    again = [batch_of(tiny, tokenizer, step) for step in (3, 1, 0, 2)]
    for step, other in zip((3, 1, 0, 2), again, strict=True):
        assert torch.equal(first[step].tokens_BT, other.tokens_BT)
        assert torch.equal(first[step].learnt_BT, other.learnt_BT)
    assert not torch.equal(first[0].tokens_BT, first[1].tokens_BT)
    elsewhere = batch_of(replace(tiny, seed=8), tokenizer, 0)
    assert not torch.equal(first[0].tokens_BT, elsewhere.tokens_BT)


def test_each_fourth_batch_is_of_exercises_in_rows_twice_as_long(tiny, tokenizer) -> None:
    shapes = [tuple(batch_of(tiny, tokenizer, step).tokens_BT.shape) for step in range(8)]
    lessons, exercises = (tiny.rows, tiny.row_tokens), (tiny.rows // 2, tiny.row_tokens * 2)
    assert shapes == [lessons, lessons, lessons, exercises] * 2
    for step in (3, 7):
        batch = batch_of(tiny, tokenizer, step)
        assert "Input:\n" in tokenizer.decode(batch.tokens_BT[0].tolist())


def test_a_learnt_token_of_a_lesson_is_never_a_marker_of_a_call(tiny, tokenizer) -> None:
    markers = {tokenizer.convert_tokens_to_ids(marker) for marker in (" [", " ->", "]")}
    read = 0
    for step in (0, 1, 2, 4, 5, 6, 8, 9, 10):
        batch = batch_of(tiny, tokenizer, step)
        assert not markers & set(batch.tokens_BT[batch.learnt_BT].tolist())
        read += len(markers & set(batch.tokens_BT.flatten().tolist()))
    assert read, "calls are read all the same"


def test_documents_are_whole_between_end_tokens_and_learnt_as_their_pieces_say(
    tokenizer,
) -> None:
    end = tokenizer.eos_token_id
    pieces: list[Piece] = [("[Calculator(1 + 2) -> 3]\n", False), ("It is 3.", True)]
    row = encode_pieces(tokenizer, pieces, end)
    head = tokenizer.encode(pieces[0][0], add_special_tokens=False)
    tail = tokenizer.encode(pieces[1][0], add_special_tokens=False)
    assert [token for token, _ in row] == [end, *head, *tail, end]
    learnt = [False] * (1 + len(head)) + [True] * (len(tail) + 1)
    assert [learns for _, learns in row] == learnt


def test_rows_hold_whole_documents_and_are_mostly_full(tokenizer) -> None:
    end = tokenizer.eos_token_id
    drawn: list[list[int]] = []

    def draw(rng: np.random.Generator) -> list[Piece]:
        pieces = draw_lesson(rng, LessonConfig())
        drawn.append([token for token, _ in encode_pieces(tokenizer, pieces, end)])
        return pieces

    batch = draw_batch(tokenizer, draw, (3, 256), (0, 0))
    for tokens, learnt in zip(batch.tokens_BT.tolist(), batch.learnt_BT.tolist(), strict=True):
        used = 0
        while document := next(
            (one for one in drawn if one == tokens[used : used + len(one)]), None
        ):
            used += len(document)
        assert used > 150
        assert tokens[used:] == [end] * (256 - used)
        assert not any(learnt[used:])


def test_prompts_of_every_tool_fit_an_exercise_of_the_shipped_recipe(tokenizer) -> None:
    # a vocabulary of 700 needs more tokens than the recipe's 2048: an upper bound
    rng = np.random.default_rng(0)
    for told in prompts().values():
        assert len(tokenizer.encode(told)) < 512
    lengths = [
        len(encode_pieces(tokenizer, exercise(rng, prompts(), LessonConfig()), 0))
        for _ in range(60)
    ]
    assert np.mean(np.array(lengths) <= 512) > 0.3
