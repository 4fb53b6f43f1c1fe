import math
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from graft.models.finetune import (
    copy_to_train,
    copy_with_lora,
    frame,
    loss_of_rows,
    perplexity_of_rows,
    save,
)
from graft.models.huggingface import HuggingFaceModel, load_model

ROWS = [[0, 3, 4, 5, 0], [0, 7, 0], [0, 2, 2, 9, 1, 8, 0]]


def llama() -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=32, initializer_range=0.3,
        bos_token_id=0, eos_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def gpt2() -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=12, n_embd=16, n_layer=2, n_head=2, n_positions=32, initializer_range=0.3,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)  # it has dropout, which must not be heard of


@pytest.fixture(params=[llama, gpt2])
def model(request: pytest.FixtureRequest) -> HuggingFaceModel:
    words = {"<e>": 0, **{letter: 1 + k for k, letter in enumerate("abcdefghijk")}}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<e>")),
        bos_token="<e>",
        eos_token="<e>",
    )
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(3)
        network = request.param()
    return HuggingFaceModel(network, tokenizer, name="tiny")


def bits(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def learn(model: HuggingFaceModel, steps: int = 5) -> None:
    learning = [p for p in model.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=0.01, weight_decay=0.0)
    for _ in range(steps):
        loss_of_rows(model, ROWS).total.backward()
        optimizer.step()
        optimizer.zero_grad()


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([[0, 3, 4, 5, 1]])).logits


def test_the_loss_is_that_of_each_row_by_itself(model: HuggingFaceModel) -> None:
    total = 0.0
    for row in ROWS:
        with torch.no_grad():
            log_TV = (
                model.model(input_ids=torch.tensor([row])).logits[0].double().log_softmax(-1)
            )
        total -= sum(float(log_TV[at - 1, row[at]]) for at in range(1, len(row)))
    loss = loss_of_rows(model, ROWS)
    assert loss.count == 4 + 2 + 6
    assert loss.total.item() == pytest.approx(total, rel=1e-5)
    halves = [[ROWS[0]], ROWS[1:]]
    assert perplexity_of_rows(model, halves) == pytest.approx(math.exp(total / 12), rel=1e-5)


def test_only_real_positions_go_through_the_output_layer(model: HuggingFaceModel) -> None:
    sizes: list[torch.Size] = []
    hook = model.head.register_forward_hook(lambda _m, args, _out: sizes.append(args[0].shape))
    loss_of_rows(model, ROWS)
    hook.remove()
    assert sizes == [(12, 16)]


def test_a_text_is_framed_and_cut_where_it_is_too_long(model: HuggingFaceModel) -> None:
    assert frame(model, [5, 6], 10) == [[0, 5, 6, 0]]
    assert frame(model, [5, 6, 7], 3) == [[0, 5, 6], [0, 7, 0]]
    assert frame(model, [5, 6, 7, 8], 3) == [[0, 5, 6], [0, 7, 8], [0, 0]]
    assert frame(model, [], 10) == [[0, 0]]
    assert max(map(len, frame(model, [1] * 100, 1000))) == model.context == 32


def test_the_copy_learns_and_the_frozen_model_stays(model: HuggingFaceModel) -> None:
    before = bits(model.model)
    for trainee in (copy_to_train(model), copy_with_lora(model, rank=2)):
        start = loss_of_rows(trainee, ROWS).total.item()
        assert start == loss_of_rows(model, ROWS).total.item()
        learn(trainee)
        assert loss_of_rows(trainee, ROWS).total.item() < start - 1.0
        assert equal(bits(model.model), before)
        assert all(p.grad is None for p in model.model.parameters())


def test_learning_draws_nothing(model: HuggingFaceModel) -> None:
    first, second = copy_to_train(model), copy_to_train(model)
    learn(first)
    torch.rand(5)
    learn(second)
    assert equal(bits(first.model), bits(second.model))


def test_low_rank_additions_stand_at_every_layer_but_the_last_and_hang_on_the_seed(
    model: HuggingFaceModel,
) -> None:
    state = torch.random.get_rng_state()
    first, second = (bits(copy_with_lora(model, rank=3).model) for _ in range(2))
    other = bits(copy_with_lora(model, rank=3, seed=1).model)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert equal(first, second)
    assert not equal(first, other)
    trainee = copy_with_lora(model, rank=3)
    learning = {name for name, p in trainee.model.named_parameters() if p.requires_grad}
    linear = 2 * (7 if isinstance(model.model, LlamaForCausalLM) else 4)
    assert len(learning) == 2 * linear
    assert all("lora_" in name for name in learning)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_was_learnt_is_an_ordinary_folder(
    model: HuggingFaceModel, method: str, tmp_path: Path
) -> None:
    trainee = copy_with_lora(model, rank=2) if method == "lora" else copy_to_train(model)
    learn(trainee)
    kept = bits(trainee.model)
    save(trainee, tmp_path, dtype=torch.float32)
    assert equal(bits(trainee.model), kept)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.state_dict().keys() == model.model.state_dict().keys()
    torch.testing.assert_close(logits(loaded), logits(trainee.model), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits(loaded), logits(model.model), atol=1e-2)
    assert AutoTokenizer.from_pretrained(tmp_path).encode("c") == [3]
    assert load_model(str(tmp_path), device="cpu").end == 0
    assert not list(tmp_path.glob("*.bin"))
    assert not list(tmp_path.glob("adapter*"))


def test_a_model_in_half_precision_learns_in_single_and_is_saved_in_half(
    model: HuggingFaceModel, tmp_path: Path
) -> None:
    model.model.to(torch.bfloat16)
    trainee = copy_to_train(model)
    assert {p.dtype for p in trainee.model.parameters()} == {torch.float32}
    assert model.model.dtype == torch.bfloat16
    save(trainee, tmp_path, dtype=torch.bfloat16)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert equal(bits(loaded), bits(model.model))
