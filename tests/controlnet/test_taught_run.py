"""A taught run later on: its start is gone, its pictures are others, its control is deleted."""

import shutil
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from graft.controlnet.records import PAIR
from graft.controlnet.teach import evaluate_run, keep_pairs, train_control
from graft.controlnet.workshop import Workshop
from graft.errors import ModelError, StoreError
from graft.store.shards import read_shard, write_shard
from graft.store.whole import read_json, write_json
from small_runs import TaughtRun, write_start


def test_what_a_training_started_from_may_be_gone(taught: Workshop) -> None:
    found = taught.trained().decoder_delta()
    there = load_file(taught.root / "train" / "decoder.safetensors")
    assert found.keys() == there.keys()
    for name, tensor in there.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)


def test_a_decoder_that_is_damaged_or_missing_is_named(taught: Workshop) -> None:
    path = taught.root / "train" / "decoder.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match=rf"^{path}: cannot be read"):
        taught.trained()
    path.unlink()
    with pytest.raises(ModelError, match=f"{path} is not there; put the"):
        taught.trained()


def test_fewer_pairs_than_a_step_asks_for_are_told(taught_run: TaughtRun) -> None:
    told = "a step asks for 4 pictures, and there are 3 to learn from"
    assert all(note.endswith(told) for note in taught_run.notes)


def test_the_figures_of_a_deleted_control_are_not_those_of_the_next(
    taught_run: TaughtRun, tmp_path: Path
) -> None:
    shop = taught_run.copied(tmp_path / "run")
    reports = [shop.root / "report.json", shop.root / "evaluate" / "report.json"]
    for path in reports:
        write_json(path, {"of": "the first"})
    list(train_control(shop))  # it is finished
    assert all(path.is_file() for path in reports)
    shutil.rmtree(shop.root / "train")
    with pytest.raises(ModelError, match=r"^train\.start_from: .*start: no such folder"):
        list(train_control(shop))
    assert all(path.is_file() for path in reports)
    assert [path.name for path in (shop.root / "train").iterdir()] == [".lock"]
    write_start(tmp_path / "other")
    again = Workshop.resume(shop.root, [f"train.start_from={tmp_path / 'other'}"])
    assert len(list(islice(train_control(again), 1))) == 1
    assert not any(path.exists() for path in reports)
    assert again.division() == Workshop.resume(taught_run.folder / "run").division()


def annotated_without(shop: Workshop, name: str) -> None:
    """As if the pictures had been annotated anew, with this one gone."""
    (shard,) = shop.shards()
    rows = [row for row in read_shard(shard) if row["id"] != name]
    shard.unlink()
    write_shard(shard, rows, PAIR.schema)
    manifest = shard.parent / "manifest.json"
    write_json(manifest, {**read_json(manifest), "summary": {}})


def test_pairs_that_were_annotated_anew_are_chosen_anew_before_they_are_learnt_from(
    taught: Workshop,
) -> None:
    gone = taught.division().evaluation[0]
    annotated_without(taught, gone)
    shutil.rmtree(taught.root / "train")
    with pytest.raises(StoreError, match=r"kept\.json: was chosen of other pairs .* keep` aga"):
        list(train_control(taught))
    kept = taught.root / "keep" / "kept.json"
    write_json(kept, {"ids": read_json(kept)["ids"]})  # as an older one, which does not say
    with pytest.raises(StoreError, match=f"{gone} was kept, and is not among .* keep` again"):
        list(train_control(taught))
    assert [path.name for path in (taught.root / "train").iterdir()] == [".lock"]
    list(keep_pairs(taught))
    assert gone not in taught.kept()


def test_a_pair_that_is_to_be_evaluated_on_and_is_gone_is_named(taught: Workshop) -> None:
    gone = taught.division().evaluation[0]
    annotated_without(taught, gone)
    with pytest.raises(StoreError, match=f"{gone} is not among .*; put the pictures back, or"):
        list(evaluate_run(taught))
