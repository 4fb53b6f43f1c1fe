"""Ten thousand random expressions against Python's fractions and decimal, and simpleeval."""

import operator
import random
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import NamedTuple

import pytest
import simpleeval

from graft.errors import ToolError
from graft.toolformer.tools.arithmetic import (
    MAX_CHARACTERS,
    MAX_MAGNITUDE,
    calculate,
    write_number,
)

COUNT = 10_000
OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
RANK = {"+": 0, "-": 0, "*": 1, "/": 1}
PRECISE = Context(prec=80)


class Expression(NamedTuple):
    """How it is written, how tightly it binds, its value; None where it has none."""

    written: str
    rank: int
    value: Fraction | None


def number(draw: random.Random) -> Expression:
    digits = draw.choice(
        [f"{draw.randint(0, 99)}", f"{draw.randint(0, 999)}", f"{draw.randint(0, 10**7):,}"]
    )
    written = digits + draw.choice(["", "", f".{draw.randint(0, 999):03d}"])
    value = Fraction(written.replace(",", ""))
    if draw.random() < 0.05:
        return Expression(f"{written}%", 2, value / 100)
    return Expression(written, 2, value)


def expression(draw: random.Random, depth: int) -> Expression:
    """Brackets stand only where they are needed, or by chance."""
    if depth == 0 or draw.random() < 0.2:
        return number(draw)
    if draw.random() < 0.1:
        inner = expression(draw, depth - 1)
        value = None if inner.value is None else -inner.value
        return Expression(f"-({inner.written})", 2, value)
    symbol = draw.choice("+-*/")
    left, right = expression(draw, depth - 1), expression(draw, depth - 1)
    space, rank = draw.choice(["", " "]), RANK[symbol]
    written = space.join(
        [
            in_brackets(left, needed=left.rank < rank, draw=draw),
            symbol,
            in_brackets(right, needed=right.rank <= rank, draw=draw),
        ]
    )
    return Expression(written, rank, applied(symbol, left.value, right.value))


def in_brackets(one: Expression, *, needed: bool, draw: random.Random) -> str:
    return f"({one.written})" if needed or draw.random() < 0.1 else one.written


def applied(symbol: str, left: Fraction | None, right: Fraction | None) -> Fraction | None:
    """None where a part has no value, divides by zero, or grows beyond the bound."""
    if left is None or right is None or (symbol == "/" and right == 0):
        return None
    value = OPERATIONS[symbol](left, right)
    return None if abs(value) > MAX_MAGNITUDE else value


@pytest.fixture(scope="module")
def drawn() -> list[Expression]:
    draw = random.Random(20)
    return [expression(draw, draw.randint(1, 3)) for _ in range(COUNT)]


def rounded(value: Fraction) -> Decimal:
    exact = PRECISE.divide(Decimal(value.numerator), Decimal(value.denominator))
    return exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP, context=PRECISE)


def test_ten_thousand_expressions_have_their_exact_value_and_its_decimals(
    drawn: list[Expression],
) -> None:
    answered = 0
    for written, _, value in drawn:
        if value is None or len(written) > MAX_CHARACTERS:
            with pytest.raises(ToolError):
                calculate(written)
            continue
        ours = calculate(written)
        assert ours == value, written
        assert Decimal(write_number(ours)) == rounded(value), written
        answered += 1
    assert answered > 0.9 * COUNT


def test_simpleeval_agrees_on_thousands_of_them(drawn: list[Expression]) -> None:
    """It works in floating point, and reads neither percents nor commas."""
    evaluator, both = simpleeval.SimpleEval(), 0
    for written, _, _ in drawn:
        if {*"%,"} & {*written}:
            continue
        try:
            ours, theirs = calculate(written), evaluator.eval(written)
        except (ToolError, SyntaxError, ArithmeticError, simpleeval.InvalidExpression):
            continue
        assert float(ours) == pytest.approx(theirs, rel=1e-6, abs=1e-6), written
        both += 1
    assert both > COUNT // 5
