"""How far long work is, for whoever shows it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` units of a stage; `total` is 0 where it is not known."""

    stage: str
    done: int
    total: int
    unit: str
    note: str = ""
