from graft.toolformer.evaluate import Judged
from graft.toolformer.study.decoding import divide


def test_inputs_with_a_call_and_without_are_told_apart() -> None:
    judged = (
        [Judged(True, ("Search",))] * 3 + [Judged(False, ("Search",))] + [Judged(False)] * 4
    )
    told = divide(judged)
    shares = {name: told[name]["mean"] for name in ("all", "with_call", "without_call")}
    assert shares == {"all": 0.375, "with_call": 0.75, "without_call": 0.0}
    assert told["call_rate"] == 0.5
    assert told["with_call"]["n"] == 4


def test_where_nothing_called_there_is_no_accuracy_of_calls() -> None:
    told = divide([Judged(True)])
    assert told["with_call"] is None
    assert told["call_rate"] == 0.0
