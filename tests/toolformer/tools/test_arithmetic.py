import operator
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import pytest
import simpleeval
from hypothesis import assume, given
from hypothesis import strategies as st

from graft.errors import ToolError
from graft.toolformer.tools import arithmetic
from graft.toolformer.tools.arithmetic import calculate, read_number, write_number

OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("10-5-2", "3"),
        ("100/10/2", "5"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("-2 * -3", "6"),
        ("2 - -3", "5"),
        ("--2", "2"),
        ("-(1 + 2)", "-3"),
        ("658,893 / 11.4%", "5779763.16"),
        ("11.4%", "0.11"),
        ("-50% * 8", "-4"),
        ("(20 + 5)% * 80", "20"),
        ("1,234,567.89 + .11", "1234568"),
        ("6 \N{MULTIPLICATION SIGN} 7 \N{DIVISION SIGN} 2 \N{MINUS SIGN} 1", "20"),
        ("400 / 1400", "0.29"),
        ("1/3", "0.33"),
        ("2/3", "0.67"),
        ("0.1 + 0.2", "0.3"),
        ("0.005", "0.01"),
        ("-0.005", "-0.01"),
        ("-0.004", "0"),
        ("1.005 * 100", "100.5"),
        ("1.115", "1.12"),
        ("0.30", "0.3"),
        ("1200", "1200"),
        ("0 * -5", "0"),
        ("99999999999999999999", "99999999999999999999"),
        ("12345678901 * 1000000", "12345678901000000"),
        ("007", "7"),
    ],
)
def test_known_expressions_have_their_known_value(expression: str, answer: str) -> None:
    assert write_number(calculate(expression)) == answer


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "a number is missing"),
        ("   ", "a number is missing"),
        ("1 +", "a number is missing"),
        ("* 2", r"missing before '\*'"),
        ("1 / 0", "division by zero"),
        ("1 / (2 - 2)", "division by zero"),
        ("5 % 3", "unexpected '3'"),
        ("5%%", "unexpected '%'"),
        ("1 2", "unexpected '2'"),
        ("(1 + 2", "not closed"),
        ("1 + 2)", r"unexpected '\)'"),
        ("()", "missing before"),
        ("+5", "missing before"),
        ("1,2", "not a number"),
        ("1,2345", "not a number"),
        ("1234,567", "not a number"),
        ("0,123", "not a number"),
        (",123", "not a number"),
        ("1.2.3", "not a number"),
        ("5.", "not a number"),
        (".", "not a number"),
        ("$5 + 2", "not arithmetic"),
        ("9**9**9", "missing before"),
        ("7 // 2", "missing before"),
        ("1e999", "not arithmetic: 'e'"),
        ("0x10", "not arithmetic"),
        ("1_000", "not arithmetic"),
        ("__import__('os').system('id')", "not arithmetic"),
        ("٣ + ٤", "not arithmetic"),
        ("\N{FULLWIDTH DIGIT ONE}", "not arithmetic"),
        ("²", "not arithmetic"),
        ("1\x00+1", "not arithmetic"),
        ("1\n+1", "not arithmetic"),
        ("\ud800", "not arithmetic"),
        ("1" * 21, "more than 20 digits"),
        ("0." + "0" * 21 + "1", "more than 20 digits"),
        ("99999999999 * 99999999999", "too large"),
        ("*".join(["99999999999"] * 15), "too large"),
        ("1 / 0.0000000000000000001 / 0.01", "too large"),
        ("(" * 50 + "1" + ")" * 50, "too deeply nested"),
        ("-" * 50 + "1", "too deeply nested"),
        ("1" + "+1" * 500_000, "longer than 200"),
        ("(" * 1_000_000, "longer than 200"),
    ],
)
def test_what_is_not_bounded_arithmetic_is_refused_with_its_reason(
    expression: str, reason: str
) -> None:
    with pytest.raises(ToolError, match=reason) as refused:
        calculate(expression)
    assert len(str(refused.value)) < 60


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[str, Fraction | None]:
    """A written expression beside its value, put together by hand; None divides by zero."""
    if depth == 0 or draw(st.booleans()):
        written = str(draw(st.decimals(0, 99, places=draw(st.integers(0, 2)))))
        value = Fraction(written)
        return (f"{written}%", value / 100) if draw(st.booleans()) else (written, value)
    symbol = draw(st.sampled_from("+-*/"))
    left, left_value = draw(expressions(depth=depth - 1))
    right, right_value = draw(expressions(depth=depth - 1))
    written = f"({left}){symbol} (-({right}))"
    if left_value is None or right_value is None or (symbol == "/" and right_value == 0):
        return written, None
    return written, OPERATIONS[symbol](left_value, -right_value)


@given(expressions())
def test_every_expression_has_the_value_that_fractions_give_it(
    expression: tuple[str, Fraction | None],
) -> None:
    written, value = expression
    if value is None:
        with pytest.raises(ToolError):
            calculate(written)
    else:
        assume(len(written) <= 200)
        assert calculate(written) == value


@given(st.text(alphabet=st.sampled_from("0123456789.+-*/() "), max_size=14))
def test_simpleeval_agrees_wherever_both_answer(expression: str) -> None:
    try:
        ours = calculate(expression)
        theirs = simpleeval.simple_eval(expression)
    except (ToolError, SyntaxError, simpleeval.InvalidExpression, ArithmeticError):
        return
    assert float(ours) == pytest.approx(theirs)


@given(st.fractions(-(10**6), 10**6, max_denominator=10**6))
def test_numbers_are_written_as_decimal_rounds_them(value: Fraction) -> None:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    rounded = exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    assert Decimal(write_number(value)) == rounded
    assert write_number(value) != "-0"
    assert write_number(value).count(".") == ("." in str(rounded.normalize() + 0))


@given(st.integers(0, 10**15))
def test_thousands_commas_do_not_change_a_number(number: int) -> None:
    assert read_number(f"{number:,}") == number


# In a process of its own: the type checks that tests switch on cost ten times the work.
TIMED = """
import contextlib, hashlib, time
from graft.errors import ToolError
from graft.toolformer.tools import arithmetic
from graft.toolformer.tools.arithmetic import calculate, write_number

PIECES = ["9" * 19, "9", "*", "*", "/", "-", "-", "(", "(", ")", ",", ".", "%", "+", "e9"]
COSTLIEST = [
    "9" * 18 + "/7" * 90,
    "/".join(["0.0000000000000000003"] * 8) + "*0" * 10,
    "*".join(["0.0000000000000000003"] * 8),
    "+".join(f"1/{prime}" for prime in (7, 11, 13, 17, 19, 23, 29, 31, 37) * 4),
    "(((((((((((((((" + "1" + "%)" * 15 + "*1" * 70,
    "(" * 1_000_000,
]

def hostile(seed):
    noise = hashlib.shake_128(str(seed).encode()).digest(4 + seed % 24)
    return "".join(PIECES[byte % len(PIECES)] for byte in noise)

def milliseconds(text):
    started = time.thread_time()
    with contextlib.suppress(ToolError):
        write_number(calculate(text))
    return 1000 * (time.thread_time() - started)

print(max(milliseconds(hostile(seed)) for seed in range(100_000)))
print(max(min(milliseconds(text) for _ in range(3)) for text in COSTLIEST))
"""


def test_a_hundred_thousand_hostile_strings_take_less_than_ten_milliseconds_each() -> None:
    sources = Path(arithmetic.__file__).parents[3]
    timed = subprocess.run(
        [sys.executable, "-c", TIMED],
        env={**os.environ, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        check=True,
    )
    slowest, slowest_of_the_costliest = map(float, timed.stdout.split())
    assert slowest < 10
    assert slowest_of_the_costliest < 10
