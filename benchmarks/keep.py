"""How much less work is it to score only what counts, and how near is it to the machine?"""

import time
from dataclasses import replace

import naive
from bases import BASES, documents, load_base, parameters
from stopwatch import arguments, in_turn, multiply_peak, publish

from graft.models.huggingface import HuggingFaceModel, load_model
from graft.toolformer.annotate import AnnotateConfig, Sampling, annotate
from graft.toolformer.dataset import Annotated, Text
from graft.toolformer.keep import KeepConfig, score
from graft.toolformer.tools.toolbox import tools_by_name

QUESTION = "keep: naive way and ours, the calls proposed in documents of about 120 tokens"


def annotated(texts: list[Text]) -> list[Annotated]:
    """The candidates that the seedling proposes at five places, five samples at each."""
    [calculator] = tools_by_name(["calculator"]).values()
    tools = {calculator.name: replace(calculator, sees=lambda _text, _context: True)}
    sampling = Sampling(threshold=0.0, positions=5, samples=5)
    settings = AnnotateConfig(sampling=sampling, tools={})
    return list(annotate(texts, load_model("seedling", device="cpu"), tools, settings))


def ours(rows: list[Annotated], model: HuggingFaceModel) -> naive.Done:
    """The same by graft, counted in the same way."""
    before = model.tokens_processed
    scored = list(score(rows, model, KeepConfig()))
    losses = [losses for one in scored for _, losses in one.candidates]
    return naive.Done(model.tokens_processed - before, losses=losses)


def peak_share(model: HuggingFaceModel, rows: list[Annotated]) -> float:
    """The share of this machine's matrix products that scoring reaches, in single precision.

    Two operations for each weight of the network below the output layer and each token, and
    for those of the output layer where it is asked; attention's own products not counted.
    """
    body = sum(p.numel() for p in model.body.parameters() if p.ndim > 1)
    body -= model.model.get_input_embeddings().weight.numel()
    head = model.head.weight.numel()
    peak = multiply_peak()
    before, began = model.tokens_processed, time.perf_counter()
    scored = list(score(rows, model, KeepConfig()))
    seconds = time.perf_counter() - began
    peak = max(peak, multiply_peak())
    asked = 5 * 2 * sum(len(one.candidates) for one in scored) + sum(
        len(one.candidates) for one in scored
    )
    work = 2 * body * (model.tokens_processed - before) + 2 * head * asked
    return work / seconds / peak


def measure(base: str, count: int, repeats: int) -> dict[str, object]:
    """One row: a base, so many documents."""
    model = load_base(base)
    rows = annotated(documents(model, count))
    slow, fast = in_turn(lambda: naive.score(rows, model), lambda: ours(rows, model), repeats)
    apart = max(
        abs(a.gain - b.gain)
        for a, b in zip(slow.result.losses, fast.result.losses, strict=True)
    )
    return {
        "case": base,
        "parameters": parameters(model),
        "documents": count,
        "candidates": sum(len(row.candidates) for row in rows),
        **naive.beside(slow, fast),
        "share of peak": peak_share(model, rows),
        "gains apart by": apart,
    }


def main() -> None:
    """Measure every base that was asked for."""
    parser = arguments(QUESTION)
    parser.add_argument("--bases", nargs="+", default=list(BASES), choices=BASES)
    parser.add_argument("--documents", type=int, nargs="+", default=[40, 6])
    given = parser.parse_args()
    rows = [
        measure(base, count, given.repeats)
        for base, count in zip(given.bases, given.documents, strict=False)
    ]
    publish("keep", QUESTION, rows, given.record)


if __name__ == "__main__":
    main()
