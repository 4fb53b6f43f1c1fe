"""The frozen diffusion model beside the parts that it is made of."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from graft.errors import ConfigError, ModelError
from graft.models.diffusion import DiffusionModel, Words, load_diffusion, to_hint, to_signed
from small_bases import make_base, make_pipeline

KINDS = ("sd1", "sd2", "sdxl")
PROMPTS = ["a red circle", "", "a blue star at the left on a white background"]


@pytest.fixture(scope="module", params=KINDS)
def base(request: pytest.FixtureRequest) -> DiffusionModel:
    return make_base(request.param)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def predicted(model: DiffusionModel) -> Tensor:
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    words = model.embed(["a green heart"])
    added = model.added(words, 32)
    with torch.no_grad():
        return model.unet(noisy, 5, words.states_BTD, added_cond_kwargs=added).sample


# Loading


def test_a_saved_base_loads_to_the_same_digest_and_predictions(
    base: DiffusionModel, tmp_path: Path
) -> None:
    base.pipeline.save_pretrained(tmp_path / "base")
    loaded = load_diffusion(str(tmp_path / "base"), torch.device("cpu"))
    assert loaded.digest() == base.digest()
    # equal weights that lie elsewhere in memory may be added up in another order
    torch.testing.assert_close(predicted(loaded), predicted(base), rtol=0, atol=1e-5)
    assert loaded.name == str(tmp_path / "base")


@pytest.mark.parametrize("asked", ["embed", "encode", "digest", "pipeline"])
def test_encoders_that_were_let_go_of_are_read_again_when_asked_for(
    base: DiffusionModel, pixels: np.ndarray, tmp_path: Path, asked: str
) -> None:
    base.pipeline.save_pretrained(tmp_path / "base")
    loaded = load_diffusion(str(tmp_path / "base"))
    latents = base.encode(pixels)
    loaded.rest_encoders()
    resting = [p for part in loaded._encoders() for p in part.parameters()]
    assert resting
    assert all(p.is_meta for p in resting)
    assert np.array_equal(loaded.decode(latents), base.decode(latents))
    match asked:
        case "embed":
            expected = base.embed(["a red circle"]).states_BTD
            assert torch.equal(loaded.embed(["a red circle"]).states_BTD, expected)
        case "encode":
            assert torch.equal(loaded.encode(pixels), latents)
        case "digest":
            assert loaded.digest() == base.digest()
        case _:
            assert not any(p.is_meta for p in loaded.pipeline.text_encoder.parameters())
    parameters = [p for part in loaded._modules() for p in part.parameters()]
    assert not any(p.is_meta or p.requires_grad for p in parameters)


def test_encoders_of_a_base_that_was_not_loaded_are_kept() -> None:
    base = make_base()
    before = base.digest()
    base.rest_encoders()
    assert not any(p.is_meta for part in base._modules() for p in part.parameters())
    assert base.digest() == before


def test_a_base_that_is_gone_when_its_encoders_are_wanted_is_named(
    saved: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "base"))
    loaded = load_diffusion(str(folder))
    loaded.rest_encoders()
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match=f"^{folder}: cannot be loaded"):
        loaded.embed(["a red circle"])


def test_weights_in_half_precision_are_calculated_with_in_single(tmp_path: Path) -> None:
    make_pipeline().to(dtype=torch.float16).save_pretrained(tmp_path / "half")
    loaded = load_diffusion(str(tmp_path / "half"))
    assert {p.dtype for p in (*loaded.unet.parameters(), *loaded.vae.parameters())} == {
        torch.float32
    }
    assert loaded.embed(["x"]).states_BTD.dtype == torch.float32


def test_everything_is_frozen(base: DiffusionModel) -> None:
    whole = base.pipeline
    for part in (whole.unet, whole.vae, whole.text_encoder):
        assert not part.training
        assert not any(p.requires_grad for p in part.parameters())


@pytest.mark.parametrize("name", ["nowhere/at all/base", "nobody/no-such-base", "no-base"])
def test_a_folder_or_hub_id_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ModelError, match=f"^{name}: cannot be loaded .* name a hub id"):
        load_diffusion(name)


@pytest.mark.parametrize("name", ["models/none", "./none", "../none", "~/none", "/none"])
def test_what_looks_like_a_folder_is_not_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(ModelError, match=f"^{name}: cannot be .* there is no such folder; nam"):
        load_diffusion(name)


def test_a_single_file_is_told_with_how_to_convert_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for name in ("models/sd15.safetensors", "sd15.safetensors"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ModelError, match=f"^{name}: is a single file.*from_single_file"):
            load_diffusion(name)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "text_encoder_2"])
def test_one_weight_of_any_part_changes_the_digest(part: str) -> None:
    base = make_base("sdxl")
    before = base.digest()
    parameter = list(getattr(base.pipeline, part).parameters())[-1]
    with torch.no_grad():
        parameter.view(-1)[0] += 1
        assert base.digest() != before
        parameter.view(-1)[0] -= 1
    assert make_base("sdxl").digest() == before


# Pictures and latents


def test_a_picture_is_four_times_wider_than_its_latents(base: DiffusionModel) -> None:
    assert (base.shrinking, base.size) == (4, 32)
    assert base.encode(np.zeros((2, 32, 16, 3), np.uint8)).shape == (2, 4, 8, 4)
    assert base.decode(torch.zeros(1, 4, 5, 8)).shape == (1, 20, 32, 3)


@pytest.mark.parametrize(
    ("size", "told"),
    [(-8, "take 4 or 8"), (0, "take 4 or 8"), (3, "take 4 or 8"), (50, "48 or 52")],
)
def test_a_size_that_will_not_do_is_told_the_nearest_that_will(
    base: DiffusionModel, size: int, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        base.require_size(size)


def test_more_steps_than_the_noise_has_times_are_refused(base: DiffusionModel) -> None:
    assert len(base.sampler(1000).times) == 1000
    with pytest.raises(ConfigError, match=r"steps = 1001: .* has 1000 times"):
        base.sampler(1001)


def test_encoding_in_batches_equals_the_autoencoder_one_by_one(
    base: DiffusionModel, pixels: np.ndarray
) -> None:
    found = base.encode(pixels, at_once=2)
    for index, one in enumerate(pixels):
        signed = torch.tensor(one / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)[None]
        mean = base.vae.encode(signed).latent_dist.mean
        expected = mean[0] * base.vae.config["scaling_factor"]
        torch.testing.assert_close(found[index], expected, rtol=0, atol=1e-5)


def test_decoding_in_batches_equals_the_autoencoder_one_by_one(base: DiffusionModel) -> None:
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    found = base.decode(latents, at_once=2)
    for index in range(3):
        scaled = latents[index : index + 1] / base.vae.config["scaling_factor"]
        shown = base.vae.decode(scaled).sample[0].permute(1, 2, 0)
        expected = np.clip((shown.numpy() + 1) * 127.5, 0, 255).round()
        assert np.abs(found[index].astype(int) - expected).max() <= 1


def test_bytes_become_signed_numbers_or_hints() -> None:
    pixels = np.array([[[[0, 51, 255]]]], np.uint8)
    assert to_signed(pixels).flatten().tolist() == pytest.approx([-1.0, -0.6, 1.0])
    assert to_hint(pixels).flatten().tolist() == pytest.approx([0.0, 0.2, 1.0])


# Prompts


def test_words_are_what_the_text_encoders_say(base: DiffusionModel) -> None:
    whole = base.pipeline
    tokens = whole.tokenizer(
        PROMPTS, padding="max_length", max_length=32, truncation=True, return_tensors="pt"
    ).input_ids
    words = base.embed(PROMPTS)
    if base.name.startswith("sdxl"):
        one = whole.text_encoder(tokens, output_hidden_states=True)
        two = whole.text_encoder_2(tokens, output_hidden_states=True)
        states = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1)
        torch.testing.assert_close(words.pooled_BP, two.text_embeds)
    else:
        states = whole.text_encoder(tokens).last_hidden_state
        assert words.pooled_BP is None
    torch.testing.assert_close(words.states_BTD, states)


def test_words_are_those_of_the_pipeline(base: DiffusionModel) -> None:
    theirs = base.pipeline.encode_prompt(
        prompt=PROMPTS,
        device=base.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    assert torch.equal(base.embed(PROMPTS).states_BTD, theirs[0])


def test_prompts_in_batches_equal_those_one_by_one(base: DiffusionModel) -> None:
    together = base.embed(PROMPTS, at_once=2)
    alone = Words.joined([base.embed([prompt]) for prompt in PROMPTS])
    torch.testing.assert_close(together.states_BTD, alone.states_BTD, rtol=0, atol=1e-5)
    if together.pooled_BP is not None:
        torch.testing.assert_close(together.pooled_BP, alone.pooled_BP, rtol=0, atol=1e-5)
    assert len(together) == 3


def test_some_words_are_taken_with_their_pooled_ones() -> None:
    words = Words(torch.arange(6.0).reshape(3, 1, 2), torch.tensor([[7.0], [8.0], [9.0]]))
    part = words[[2, 0]]
    assert part.states_BTD.tolist() == [[[4.0, 5.0]], [[0.0, 1.0]]]
    assert part.pooled_BP is not None
    assert part.pooled_BP.tolist() == [[9.0], [7.0]]
    assert len(words[1:]) == 2


def test_a_prompt_is_too_long_from_the_first_token_that_is_cut(small: DiffusionModel) -> None:
    fits = " ".join(["a"] * 30)  # and a start and an end: 32
    assert not small.is_too_long(fits)
    assert small.is_too_long(fits + " a")
    longer = fits + " a circle"
    assert torch.equal(small.embed([longer]).states_BTD, small.embed([fits]).states_BTD)


def test_sdxl_reads_the_size_and_the_pooled_words_beside() -> None:
    base = make_base("sdxl")
    words = base.embed(PROMPTS)
    added = base.added(words, 48)
    assert added is not None
    assert added["time_ids"].tolist() == [[48, 48, 0, 0, 48, 48]] * 3
    assert torch.equal(added["text_embeds"], words.pooled_BP)
    assert make_base("sd1").added(Words(words.states_BTD), 48) is None


# Noise and sampler


def kept_signal(predicts: str) -> np.ndarray:
    """The root of alpha bar at each time; for velocity, moved so that it ends in nothing."""
    betas = np.linspace(math.sqrt(0.00085), math.sqrt(0.012), 1000) ** 2
    root = np.sqrt(np.cumprod(1 - betas))
    if predicts == "v_prediction":
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return root


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
def test_noise_and_target_are_the_formulas(predicts: str) -> None:
    noise = make_base("sd1", predicts).noise
    generator = torch.Generator().manual_seed(4)
    x, eps = (torch.randn(4, 4, 2, 2, generator=generator) for _ in range(2))
    times = torch.tensor([0, 250, 700, 999])
    kept = torch.tensor(kept_signal(predicts)[times], dtype=torch.float32).view(4, 1, 1, 1)
    lost = (1 - kept**2).sqrt()
    target = {"epsilon": eps, "v_prediction": kept * eps - lost * x, "sample": x}[predicts]
    assert (noise.times, noise.predicts) == (1000, predicts)
    noisy = noise.add(x, eps, times)
    torch.testing.assert_close(noisy, kept * x + lost * eps, rtol=0, atol=1e-4)
    torch.testing.assert_close(noise.target(x, eps, times), target, rtol=0, atol=1e-4)


def test_the_sampler_begins_at_the_noisiest_time_unless_its_spacing_leads(
    small: DiffusionModel,
) -> None:
    def times(spacing: str | None) -> list[int]:
        return [int(time) for time in small.sampler(4, spacing=spacing).times]

    assert times("trailing") == times(None) == [999, 749, 499, 249]
    assert times("leading") == [751, 501, 251, 1]
    assert small.sampler(4).first_sigma == 1.0
    assert small.scheduler_config["_class_name"] == "DDIMScheduler"
    assert small.pipeline.scheduler.num_inference_steps is None


def test_what_a_sampler_draws_does_not_depend_on_its_neighbours() -> None:
    pipeline = make_pipeline()
    pipeline.scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    sampler = DiffusionModel(pipeline, "drawing").sampler(4)
    generator = torch.Generator().manual_seed(4)
    x, eps = (torch.randn(2, 4, 2, 2, generator=generator) for _ in range(2))
    time = sampler.times[1]
    seeds = [torch.Generator().manual_seed(seed) for seed in (8, 9)]
    both = sampler.step(eps, time, x, seeds)
    second = sampler.step(eps[1:], time, x[1:], [torch.Generator().manual_seed(9)])
    torch.testing.assert_close(both[1:], second, rtol=0, atol=1e-6)
    other = sampler.step(eps[1:], time, x[1:], [torch.Generator().manual_seed(10)])
    assert not torch.allclose(other, second)
