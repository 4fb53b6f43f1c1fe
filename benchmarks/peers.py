"""What does an earlier implementation get done with the same model, texts and tool?

    python benchmarks/peers.py CHECKOUT

`CHECKOUT` is a clone of github.com/lucidrains/toolformer-pytorch (MIT), which is imported from
there with `einops` and `beartype`, its own requirements; none of its code is here. Its default
tokenizer is not asked for: both sides read with the model's.
"""

import contextlib
import io
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import torch
from bases import load_base
from stopwatch import arguments, publish

from graft.models.huggingface import HuggingFaceModel
from graft.toolformer.annotate import AnnotateConfig, Sampling, annotate
from graft.toolformer.call import CLOSE, OPEN, strip
from graft.toolformer.corpus import read_corpus
from graft.toolformer.dataset import Text, splice
from graft.toolformer.keep import KeepConfig, choose, score
from graft.toolformer.run import run
from graft.toolformer.tools.calculator import PROMPT, answer, calculator_tool
from graft.toolformer.tools.prompt import render_input, render_prompt
from graft.toolformer.tools.tool import Context
from graft.toolformer.writing import RunConfig
from graft.world.shipped import FOLDER

QUESTION = "peers: the same model, texts and calculator; what got done, and what did not"
ROOM = 96  # tokens that the peer may write behind a prompt and its text
TAG = "[input]"


@dataclass(slots=True)
class Account:
    """What one implementation came to; texts, and those that got so far."""

    case: str
    texts: int
    copied: int = 0
    with_calls: int = 0
    answered: int = 0
    kept: int = 0
    seconds: float = 0.0
    could_not: list[str] = field(default_factory=list)

    def row(self) -> dict[str, object]:
        """As a row of the table."""
        return {
            "case": self.case,
            "texts": self.texts,
            "text copied right": self.copied,
            "with a call": self.with_calls,
            "call answered": self.answered,
            "call kept": self.kept,
            "seconds": self.seconds,
            "texts per minute": 60 * self.texts / self.seconds,
            "calls kept per minute": 60 * self.kept / self.seconds,
            "could not": "; ".join(self.could_not) or "-",
        }


def ours(texts: list[Text], model: HuggingFaceModel) -> tuple[Account, list[str]]:
    """Annotate and keep, five samples at the likeliest place of each text; then write.

    Beside the account, the texts with their best call, not answered, as the peer writes it.
    """
    account, began = Account("graft", len(texts)), time.perf_counter()
    tools = {"Calculator": calculator_tool()}
    settings = AnnotateConfig(
        sampling=Sampling(threshold=0.0, positions=1, samples=5), tools={}
    )
    annotated = list(annotate(texts, model, tools, settings))
    scored = list(score(annotated, model, KeepConfig()))
    kept = choose(scored, KeepConfig(threshold=0.5, tools={}))
    account.seconds = time.perf_counter() - began
    account.with_calls = account.answered = sum(bool(row.candidates) for row in annotated)
    account.kept = len(kept.calls)
    begun = replace(texts[0], text=_half(texts[0].text))
    [written] = run([begun], model, tools, RunConfig(max_new_tokens=16))
    if written.prompt != begun.text or not written.text:
        account.could_not.append("write on")
    best = [max(row.candidates, key=lambda pair: pair[1].gain)[0] for row in scored]
    called = [
        model.decode(
            splice(model, model.encode(text.text), [(c.position, replace(c.call, result=None))])
        )
        for text, c in zip(texts, best, strict=True)
    ]
    account.copied = sum(map(_same, map(strip, called), (text.text for text in texts)))
    return account, called


class Whole(torch.nn.Module):
    """A model as the peer asks for it: tokens (B, T) to logits (B, T, V)."""

    def __init__(self, model: HuggingFaceModel) -> None:
        super().__init__()
        self.model = model.model

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        """Logits of what follows each token."""
        return self.model(input_ids=tokens_BT.long(), use_cache=False).logits


def theirs(texts: list[Text], model: HuggingFaceModel, peer: ModuleType) -> object:
    """Its `Toolformer` for the calculator, with the same prompt and markers."""
    prompt = render_prompt(PROMPT) + render_input(TAG)
    longest = max(len(model.encode(prompt.replace(TAG, text.text))) for text in texts)
    return peer.Toolformer(
        Whole(model),
        tool_id="Calculator",
        tool=lambda *given: answer(" ".join(map(str, given)), Context()),
        teach_tool_prompt=prompt,
        prompt_input_tag=TAG,
        filter_threshold=0.5,
        model_seq_len=longest + ROOM,
        api_start_str=OPEN,
        api_stop_str=CLOSE,
        api_start_id=model.encode_after(OPEN)[-1],
        api_stop_id=model.encode_after(CLOSE)[-1],
        tokenizer_encode=model.encode,
        tokenizer_decode=lambda tokens: model.decode([int(token) for token in tokens]),
        prompt_batch_size=4,
    )


def alone(texts: list[Text], model: HuggingFaceModel, taught: object) -> Account:
    """All that it does by itself, stage by stage; then it is to write on."""
    plain = [text.text for text in texts]
    account, began = Account("lucidrains/toolformer-pytorch", len(texts)), time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        written = _try(account, "propose", lambda: taught.generate_data_with_api_calls(plain))
        firsts = [text.partition("\n\n")[0] for text in written or []]
        account.copied = sum(map(_same, map(strip, firsts), plain))
        _filter(account, taught, plain, written or [])
        account.seconds = time.perf_counter() - began
        _try(account, "write on", lambda: _written_on(taught, _half(plain[0]), model))
    return account


def helped(texts: list[Text], called: list[str], taught: object) -> Account:
    """Its later stages alone, on the calls that graft found."""
    plain = [text.text for text in texts]
    account = Account("the same, given graft's calls", len(texts))
    account.copied = sum(map(_same, map(strip, called), plain))
    began = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        _filter(account, taught, plain, called)
    account.seconds = time.perf_counter() - began
    return account


def _filter(account: Account, taught: object, plain: list[str], written: list[str]) -> None:
    """Its stages behind the proposals: read, answer, score."""
    chosen, called = taught.filter_and_keep_only_first_api_call(plain, written)
    account.with_calls = len(called)
    if not called:
        account.could_not.append("filter: no call of a form that it reads")
        return
    answered = _try(account, "answer", lambda: taught.make_api_calls(called)) or called
    refused = [one for one in answered if taught.api_response_delimiter not in one]
    account.answered = len(answered) - len(refused)
    if refused:
        shown = re.search(r"\[Calculator[^\]]*\]?", refused[0])
        example = shown[0] if shown else refused[0]
        account.could_not.append(f"answer {len(refused)} of {len(called)} calls, as {example}")
    found = _try(
        account, "score", lambda: taught.filter_by_api_responses(chosen, called, answered)
    )
    account.kept = found.num_passed if found is not None else 0


def _written_on(taught: object, prompt: str, model: HuggingFaceModel) -> None:
    written = taught.sample_model_with_api_calls(prompt)
    if not written.startswith(model.decode(model.encode(prompt))):
        raise ValueError("the prompt is written over")


def _try(account: Account, what: str, work: Callable[[], object]) -> object:
    """What the peer's stage gives, or None with its error on the account."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever a stranger's code raises is told
        told = " ".join(str(error).split())[:90]
        account.could_not.append(f"{what} ({type(error).__name__}: {told})")
        return None


def _half(text: str) -> str:
    """The first half of a text's words, to be written on."""
    words = text.split(" ")
    return " ".join(words[: len(words) // 2])


def _same(first: str, second: str) -> bool:
    return "".join(first.split()) == "".join(second.split())


def load_peer(checkout: Path, model: HuggingFaceModel) -> ModuleType:
    """The peer's package out of its clone, with the model's tokenizer in place of CLIP's."""
    named = ModuleType("x_clip.tokenizer")
    named.tokenizer = model.tokenizer
    sys.modules.setdefault("x_clip", ModuleType("x_clip"))
    sys.modules.setdefault("x_clip.tokenizer", named)
    sys.path.insert(0, str(checkout))
    import toolformer_pytorch

    return toolformer_pytorch


def main() -> None:
    """Both sides in one process, the same texts."""
    parser = arguments(QUESTION)
    parser.add_argument("checkout", type=Path, help="a clone of lucidrains/toolformer-pytorch")
    parser.add_argument("--texts", type=int, default=12)
    given = parser.parse_args()
    if not (given.checkout / "toolformer_pytorch").is_dir():
        parser.error(f"{given.checkout}: no clone of lucidrains/toolformer-pytorch")
    model = load_base("seedling")
    texts = [
        t
        for t in read_corpus(FOLDER / "corpus.jsonl")
        if calculator_tool().sees(t.text, Context())
    ]
    texts = texts[: given.texts]
    peer = load_peer(given.checkout, model)
    account, called = ours(texts, model)
    taught = theirs(texts, model, peer)
    accounts = [account, alone(texts, model, taught), helped(texts, called, taught)]
    publish("peers", QUESTION, [one.row() for one in accounts], given.record)


if __name__ == "__main__":
    main()
