"""How the records of Toolformer lie in Parquet: one `Format` for each, with its columns.

`write_shard(path, map(SCORED.to_row, records), SCORED.schema)` writes records,
`map(SCORED.from_row, read_shard(path))` reads them, and what is read equals what was written.
"""

import datetime
from collections import Counter
from typing import cast

import pyarrow as pa

from graft.store.shards import Format, Row
from graft.toolformer.call import Call
from graft.toolformer.dataset import Annotated, Candidate, Losses, Merged, Scored, Text

_CALL = pa.struct(
    [
        pa.field("tool", pa.string(), nullable=False),
        pa.field("argument", pa.string(), nullable=False),
        pa.field("result", pa.string()),
        pa.field("quoted", pa.bool_(), nullable=False),
    ]
)
_CANDIDATE = (
    pa.field("position", pa.int64(), nullable=False),
    pa.field("call", _CALL, nullable=False),
    pa.field("probability", pa.float64(), nullable=False),
)
_LOSSES = tuple(
    pa.field(name, pa.float64(), nullable=False)
    for name in ("with_result", "without_result", "without_call")
)
_COUNT = pa.struct(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
_TEXT = (
    pa.field("id", pa.string(), nullable=False),
    pa.field("text", pa.string(), nullable=False),
    pa.field("date", pa.date32()),
)


def _text_row(text: Text) -> Row:
    return {"id": text.id, "text": text.text, "date": text.date}


def _text(row: Row) -> Text:
    date = cast("datetime.date | None", row["date"])
    return Text(cast("str", row["id"]), cast("str", row["text"]), date)


def _call_row(call: Call) -> Row:
    return {
        "tool": call.tool,
        "argument": call.argument,
        "result": call.result,
        "quoted": call.quoted,
    }


def _call(row: Row) -> Call:
    return Call(
        cast("str", row["tool"]),
        cast("str", row["argument"]),
        cast("str | None", row["result"]),
        cast("bool", row["quoted"]),
    )


def _candidate_row(candidate: Candidate) -> Row:
    return {
        "position": candidate.position,
        "call": _call_row(candidate.call),
        "probability": candidate.probability,
    }


def _candidate(row: Row) -> Candidate:
    call = _call(cast("Row", row["call"]))
    return Candidate(cast("int", row["position"]), call, cast("float", row["probability"]))


def _annotated_row(annotated: Annotated) -> Row:
    counts = sorted(annotated.counts.items())  # equal records give equal bytes
    return {
        **_text_row(annotated.text),
        "candidates": [_candidate_row(candidate) for candidate in annotated.candidates],
        "counts": [{"name": name, "count": count} for name, count in counts],
    }


def _annotated(row: Row) -> Annotated:
    counts = cast("list[dict[str, object]]", row["counts"])
    return Annotated(
        _text(row),
        tuple(_candidate(candidate) for candidate in cast("list[Row]", row["candidates"])),
        Counter({cast("str", one["name"]): cast("int", one["count"]) for one in counts}),
    )


def _scored_row(scored: Scored) -> Row:
    return {
        **_text_row(scored.text),
        "candidates": [
            {
                **_candidate_row(candidate),
                "with_result": losses.with_result,
                "without_result": losses.without_result,
                "without_call": losses.without_call,
            }
            for candidate, losses in scored.candidates
        ],
    }


def _scored(row: Row) -> Scored:
    candidates = cast("list[Row]", row["candidates"])
    return Scored(_text(row), tuple((_candidate(one), _losses(one)) for one in candidates))


def _losses(row: Row) -> Losses:
    return Losses(
        cast("float", row["with_result"]),
        cast("float", row["without_result"]),
        cast("float", row["without_call"]),
    )


def _merged_row(merged: Merged) -> Row:
    return {
        **_text_row(merged.text),
        "tokens": list(merged.tokens),
        "plain": list(merged.plain),
        "calls": [_call_row(call) for call in merged.calls],
        "candidates": merged.candidates,
    }


def _merged(row: Row) -> Merged:
    return Merged(
        _text(row),
        tuple(cast("list[int]", row["tokens"])),
        tuple(cast("list[int]", row["plain"])),
        tuple(_call(call) for call in cast("list[Row]", row["calls"])),
        cast("int", row.get("candidates", 0)),  # in no run that was begun before
    )


TEXT = Format("a corpus", pa.schema(_TEXT), _text_row, _text)
ANNOTATED = Format(
    "annotated texts",
    pa.schema(
        [
            *_TEXT,
            pa.field("candidates", pa.list_(pa.struct(_CANDIDATE)), nullable=False),
            pa.field("counts", pa.list_(_COUNT), nullable=False),
        ]
    ),
    _annotated_row,
    _annotated,
)
SCORED = Format(
    "scored texts",
    pa.schema(
        [
            *_TEXT,
            pa.field(
                "candidates", pa.list_(pa.struct((*_CANDIDATE, *_LOSSES))), nullable=False
            ),
        ]
    ),
    _scored_row,
    _scored,
)
MERGED = Format(
    "texts with their calls",
    pa.schema(
        [
            *_TEXT,
            pa.field("tokens", pa.list_(pa.int32()), nullable=False),
            pa.field("plain", pa.list_(pa.int32()), nullable=False),
            pa.field("calls", pa.list_(_CALL), nullable=False),
            pa.field("candidates", pa.int64(), nullable=False),
        ]
    ),
    _merged_row,
    _merged,
)
