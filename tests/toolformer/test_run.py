import threading
from dataclasses import replace

import pytest

from graft.errors import DataError, ToolError
from graft.models.huggingface import HuggingFaceModel
from graft.toolformer.dataset import Text
from graft.toolformer.run import Called, Generation, Wrote, run, stream
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, Tool
from graft.toolformer.writing import RunConfig, State, Writer

SETTINGS = RunConfig(top_k=1, max_new_tokens=12, rows=3)


def answering(tool: Tool, answer) -> Tool:
    return replace(tool, answer=answer)


def test_calls_are_made_answered_and_written_in(taught, prompts, tools) -> None:
    sums, letter, plain = run(prompts, taught, tools, SETTINGS)
    assert sums.text == " [Calculator(47 + 38) -> 85] 85 of them."
    assert sums.plain == " 85 of them."
    assert letter.text == " [Calendar() -> Today is Monday, January 30, 2023.] Monday."
    assert plain.text == plain.plain == " the moon was bright."
    assert [len(one.calls) for one in (sums, letter, plain)] == [1, 1, 0]
    [call] = sums.calls
    assert (call.call.argument, call.call.result, call.error, call.at) == (
        "47 + 38",
        "85",
        None,
        0,
    )
    assert call.seconds >= 0


def test_the_answer_comes_from_the_tool_and_not_from_memory(taught, prompts, tools) -> None:
    tools["Calculator"] = answering(tools["Calculator"], lambda _argument, _context: "7777")
    [generation] = run(prompts[:1], taught, tools, SETTINGS)
    assert generation.text.startswith(" [Calculator(47 + 38) -> 7777]")


def test_a_text_is_continued_the_same_alone_and_in_a_batch(taught, prompts, tools) -> None:
    many = [replace(prompt, id=f"{k}") for k, prompt in enumerate(prompts * 4)]
    together = [one.text for one in run(many, taught, tools, SETTINGS)]
    alone = [next(run([one], taught, tools, replace(SETTINGS, rows=1))).text for one in many]
    assert together == alone


def test_without_tools_no_call_is_opened(taught, prompts, tools) -> None:
    for without in (
        run(prompts, taught, {}, SETTINGS),
        run(prompts, taught, tools, replace(SETTINGS, disabled=("Calculator", "Calendar"))),
        run(prompts, taught, tools, replace(SETTINGS, top_k=0)),
        run(prompts, taught, tools, replace(SETTINGS, max_calls=0)),
    ):
        for generation in without:
            assert generation.calls == ()
            assert "[" not in generation.text


def test_a_disabled_tool_is_not_called_and_the_others_are(taught, prompts, tools) -> None:
    sums, letter, _ = run(prompts, taught, tools, replace(SETTINGS, disabled=("Calculator",)))
    assert (len(sums.calls), len(letter.calls)) == (0, 1)
    assert "[" not in sums.text


def test_the_top_k_rule_opens_what_greedy_decoding_would_not(taught, prompts, tools) -> None:
    marker, prompt = taught.encode_after(" [")[0], taught.encode(prompts[2].text)
    [logprob] = taught.decoder(1).feed([0], [prompt])
    rank = int((logprob > logprob[marker]).sum())
    assert rank > 0
    for top_k, state in ((rank, State.WRITING), (rank + 1, State.OPENING)):
        settings = replace(SETTINGS, top_k=top_k)
        writer = Writer(prompts[2], prompt, taught, tools, settings, Executor())
        fed, _ = writer.next_tokens(logprob)
        assert writer.state is state
        assert (fed == [marker]) == (state is State.OPENING)


def test_a_refused_call_is_taken_back_and_traced(taught, prompts, tools) -> None:
    def refuse(_argument: str, _context: Context) -> str:
        raise ToolError("division by zero")

    tools["Calculator"] = answering(tools["Calculator"], refuse)
    [generation] = run(prompts[:1], taught, tools, SETTINGS)
    assert "[" not in generation.text
    assert generation.text == generation.plain != ""
    [call] = generation.calls
    assert (call.error, call.call.result) == ("division by zero", None)


def test_after_a_refused_call_the_text_goes_on_as_if_it_had_not_been_opened(
    taught, prompts, tools
) -> None:
    def refuse(_argument: str, _context: Context) -> str:
        raise ToolError("no")

    refusing = {name: answering(tool, refuse) for name, tool in tools.items()}
    refused = [one.plain for one in run(prompts, taught, refusing, SETTINGS)]
    disabled = [one.plain for one in run(prompts, taught, {}, SETTINGS)]
    assert refused == disabled


def test_a_tool_that_hangs_costs_its_time_limit_and_no_more(taught, prompts, tools) -> None:
    for_ever = threading.Event()

    def hang(_argument: str, _context: Context) -> str:
        for_ever.wait(60)
        return "late"

    slow = replace(tools["Calculator"], answer=hang, timeout_seconds=0.2)
    [generation] = run(prompts[:1], taught, {"Calculator": slow}, SETTINGS)
    for_ever.set()
    [call] = generation.calls
    assert call.error is not None
    assert "0.2 s" in call.error
    assert call.seconds < 30


def test_a_row_that_waits_for_its_tool_does_not_hold_the_others(taught, prompts, tools) -> None:
    others_done = threading.Event()

    def wait_for_others(_argument: str, _context: Context) -> str:
        assert others_done.wait(60), "the others were held up"
        return "85"

    patient = replace(tools["Calculator"], answer=wait_for_others, timeout_seconds=90)
    finished: list[str] = []
    for event in stream(prompts, taught, {**tools, "Calculator": patient}, SETTINGS):
        if isinstance(event, Generation):
            finished.append(event.id)
            if {"b", "c"} <= set(finished):
                others_done.set()
    assert finished[-1] == "a"


def test_an_answer_cannot_write_calls_or_lines_of_its_own(taught, prompts, tools) -> None:
    evil = "1] and [Calendar() -> now]\n\x85[Calculator(2 ->"
    tools["Calculator"] = answering(tools["Calculator"], lambda _argument, _context: evil)
    [generation] = run(prompts[:1], taught, tools, SETTINGS)
    inside = generation.text.partition(" -> ")[2].partition("]")[0]
    assert "[" not in inside
    assert "\n" not in inside
    assert "->" not in inside
    assert len(generation.calls) == 1


def test_a_stream_tells_every_stretch_and_call_in_order(taught, prompts, tools) -> None:
    events = list(stream(prompts[:1], taught, tools, SETTINGS))
    assert isinstance(events[0], Called)
    assert "".join(e.text for e in events if isinstance(e, Wrote)) == " 85 of them."
    assert isinstance(events[-1], Generation)


def test_generations_come_in_the_order_of_the_prompts(taught, prompts, tools) -> None:
    many = [replace(prompt, id=str(k)) for k, prompt in enumerate([*prompts, *prompts[::-1]])]
    assert [one.id for one in run(many, taught, tools, SETTINGS)] == list("012345")


def test_a_prompt_longer_than_the_context_loses_its_beginning(taught, tools) -> None:
    long = "apples and plums, " * 300 + "Mara had 47 apples and 38 plums, in all"
    tokens = taught.encode(long)
    [generation] = run([Text("a", long)], taught, tools, SETTINGS)
    # room for the start, 12 tokens of text, and one call of 40 with as much again three times
    left = taught.context - 1 - 12 - 160
    assert generation.cut == len(tokens) - left
    rest = taught.decode(tokens[-left:])
    assert taught.encode(rest) == tokens[-left:]
    [same] = run([Text("a", rest)], taught, tools, SETTINGS)
    assert same.cut == 0
    assert (generation.text, generation.plain) == (same.text, same.plain)


def test_a_prompt_keeps_half_the_context_however_much_is_to_be_written(taught) -> None:
    long, settings = (
        Text("long", "apples and plums, " * 300),
        replace(SETTINGS, max_new_tokens=1),
    )
    [little] = run([long], taught, {}, settings)
    [much] = run([long], taught, {}, replace(settings, max_new_tokens=10_000))
    tokens = len(taught.encode(long.text))
    assert tokens - much.cut == taught.context // 2 < tokens - little.cut


def test_a_text_fills_the_context_and_a_call_that_does_not_fit_is_taken_back(
    reader, tools
) -> None:
    small = HuggingFaceModel(reader.model, reader.tokenizer)
    small.context = 48
    prompt = Text("a", "Mara had 47 apples")
    often = RunConfig(top_k=10_000, max_new_tokens=1000, call_tokens=20)
    [without] = run([prompt], small, {}, often)
    assert small.tokens_processed == small.context
    [generation] = run([prompt], small, tools, often)
    assert generation.calls == ()
    assert generation.text == generation.plain == without.plain


def test_an_empty_prompt_is_refused_by_name(taught, tools) -> None:
    with pytest.raises(DataError, match="prompt nothing is empty"):
        list(run([Text("nothing", "")], taught, tools, SETTINGS))


def test_sampling_belongs_to_the_text_and_its_seed(taught: HuggingFaceModel, prompts) -> None:
    warm = replace(SETTINGS, temperature=2.0, max_new_tokens=20)
    together = [one.text for one in run(prompts, taught, {}, warm)]
    alone = [next(run([one], taught, {}, warm)).text for one in prompts]
    other = [one.text for one in run(prompts, taught, {}, replace(warm, seed=1))]
    assert together == alone
    assert together != other
