import pytest
import torch
from transformers import MistralConfig, MistralModel

from graft.models.finetune import copy_to_train, loss_of_rows
from graft.models.huggingface import HuggingFaceModel
from graft.models.packing import hidden_states, pack, packs
from small_models import ARCHITECTURES, make_model

TEXTS = [[5, 6], [7] * 40, list(range(30)), [9], list(range(60, 90)), [3, 4, 5, 6, 7]]


@pytest.fixture(params=ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> HuggingFaceModel:
    return make_model(request.param, "byte pairs")


def naive(body: torch.nn.Module, text: list[int]) -> torch.Tensor:
    return body(input_ids=torch.tensor([text]), use_cache=False).last_hidden_state[0]


def apart(body: torch.nn.Module, texts: list[list[int]]) -> dict[int, torch.Tensor]:
    packed = pack(texts)
    lengths = [len(texts[k]) for k in packed.order]
    return dict(zip(packed.order, hidden_states(body, packed).split(lengths), strict=True))


def test_a_packed_text_gives_what_it_gives_by_itself(model: HuggingFaceModel) -> None:
    with torch.no_grad():
        for k, hidden_ND in apart(model.body, TEXTS).items():
            torch.testing.assert_close(
                hidden_ND, naive(model.body, TEXTS[k]), rtol=1e-4, atol=1e-4
            )


def test_no_token_looks_at_another_text(model: HuggingFaceModel) -> None:
    """Not a bit of a text hangs on what the others say."""
    others = [[token + 1 for token in text] for text in TEXTS]
    with torch.no_grad():
        for k in range(len(TEXTS)):
            mixed = [TEXTS[j] if j == k else others[j] for j in range(len(TEXTS))]
            assert torch.equal(apart(model.body, mixed)[k], apart(model.body, TEXTS)[k])


def test_the_gradient_of_packed_rows_is_the_sum_of_the_rows_own(
    model: HuggingFaceModel,
) -> None:
    rows = [text for text in TEXTS if len(text) > 1]
    together, alone = copy_to_train(model), copy_to_train(model)
    assert together.packs
    loss_of_rows(together, rows).total.backward()
    for row in rows:
        logits_TV = alone.model(input_ids=torch.tensor([row])).logits[0, :-1]
        target_T = torch.tensor(row[1:])
        torch.nn.functional.cross_entropy(logits_TV, target_T, reduction="sum").backward()
    for (name, one), other in zip(
        together.model.named_parameters(), alone.model.parameters(), strict=True
    ):
        assert one.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3, msg=name)


def test_the_network_attends_as_before_afterwards(model: HuggingFaceModel) -> None:
    named = model.model.config._attn_implementation
    with torch.no_grad():
        before = naive(model.body, TEXTS[1])
        apart(model.body, TEXTS)
        assert torch.equal(naive(model.body, TEXTS[1]), before)
    assert model.model.config._attn_implementation == named


def test_a_narrow_window_is_kept() -> None:
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        body = MistralModel(
            MistralConfig(
                vocab_size=100,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                sliding_window=6,
            )
        ).eval()
    with torch.no_grad():
        for k, hidden_ND in apart(body, TEXTS).items():
            torch.testing.assert_close(hidden_ND, naive(body, TEXTS[k]), rtol=1e-4, atol=1e-4)


class Deaf(torch.nn.Module):
    """A network whose layers do their own attention, over all of a row."""

    def __init__(self, body: torch.nn.Module) -> None:
        super().__init__()
        self.body, self.config = body, body.config

    def forward(self, input_ids: torch.Tensor, **_known: object) -> object:
        return self.body(input_ids=input_ids, use_cache=False)


def test_a_network_that_cannot_be_packed_is_known_and_learns_from_padded_rows(
    model: HuggingFaceModel,
) -> None:
    assert packs(model.model, model.body)
    assert not packs(model.model, Deaf(model.body))
    rows = [text for text in TEXTS if len(text) > 1]
    packed = loss_of_rows(model, rows)
    model.packs = False
    padded = loss_of_rows(model, rows)
    assert padded.count == packed.count == sum(len(row) - 1 for row in rows)
    assert padded.total.item() == pytest.approx(packed.total.item(), rel=1e-5)


def test_texts_of_like_length_are_seen_together() -> None:
    packed = pack(TEXTS)
    assert packed.order == (1, 2, 4, 5, 0, 3)
    assert [group.texts for group in packed.groups] == [3, 3]
    lengths = [1000, 900, 790, 600, 500, 31, 2]
    packed = pack([[1] * length for length in lengths])
    assert [group.texts for group in packed.groups] == [2, 1, 2, 2]
