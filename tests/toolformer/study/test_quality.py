import pytest

from graft.toolformer.call import Call
from graft.toolformer.dataset import Candidate, Losses, Scored, Text
from graft.toolformer.study.quality import common_words, is_useful, study_quality
from small_models import make_model


@pytest.mark.parametrize(
    ("result", "before", "after", "useful"),
    [
        ("85", "47 and 38 are", " 85 apples.", True),
        ("85", "47 and 38 are", " 850 apples, or 1.85.", False),  # a part of other numbers
        ("85", "It was 85 in all:", " 85 apples.", False),  # no news
        ("Monday", "It is", " monday.", True),
        ("", "It is", " 7.", False),
        (None, "It is", " 7.", False),
        ("85", "It is", " 850, no, 85", True),
        ("Today is Monday, May 1.", "Today is Monday, May", " 1.", True),
        ("Ann Bell lives in Orly.", "The home of Ann is", " Orly.", True),
        (
            "Ann Bell lives in Orly.",
            "The home of Ann is",
            " big, and she likes it, in Orly",
            False,
        ),
        ("47", "It was", " 47 then.", False),  # no more than its own argument
    ],
)
def test_a_call_is_useful_where_its_result_is_told_after_it_and_was_not_before(
    result: str | None,
    before: str,
    after: str,
    useful: bool,  # noqa: FBT001
) -> None:
    call = Call("Calculator", "47 + 38", result)
    assert is_useful(Candidate(3, call, 1.0), before, after) == useful


def test_common_words_are_no_news_but_numbers_always_are() -> None:
    texts = [f"the mill number {k % 3}" for k in range(50)] + ["the hill"]
    common = common_words(texts)
    assert common == {"the", "mill", "number"}
    call = Call("Search", "hill", "the mill 2")
    assert not is_useful(Candidate(0, call, 1.0), "", "the mill", common)
    assert is_useful(Candidate(0, call, 1.0), "", "the mill 2", common)


def test_calls_are_sorted_into_bins_of_gain_with_the_best_shown_first() -> None:
    model = make_model("llama", "bytes")
    text = "7 and 8 are 15."
    at = len(model.encode("7 and 8 are"))

    def scored(result: str, gain: float) -> tuple[Candidate, Losses]:
        call = Call("Calculator", "7 + 8", result)
        return Candidate(at, call, 1.0), Losses(1.0, 1.0 + gain, 3.0)

    pairs = (scored("15", 0.7), scored("3", 0.6), scored("4", -2.0), scored("9", 1.0))
    found = study_quality([Scored(Text("a", text), pairs)], model)
    bins = {(one["from"], one["to"]): one for one in found["Calculator"]}
    assert set(bins) == {(None, -1.0), (0.5, 1.0), (1.0, 2.0)}
    middle = bins[0.5, 1.0]
    assert (middle["useful"]["mean"], middle["useful"]["n"]) == (0.5, 2)
    assert [example["gain"] for example in middle["examples"]] == [0.7, 0.6]
    assert middle["examples"][0]["text"] == "7 and 8 are |  15."
