from dataclasses import replace
from pathlib import Path

import pytest

from graft.errors import StoreError
from graft.store.whole import write_json
from graft.toolformer.workshop import TeachConfig, Workshop


def test_another_run_in_a_begun_folder_is_refused_and_the_recipe_stays(tmp_path: Path) -> None:
    config = TeachConfig(corpus=Path("texts.jsonl"))
    Workshop.begin(tmp_path, config)
    (tmp_path / "annotate").mkdir()
    write_json(tmp_path / "annotate" / "recipe.json", {})
    before = (tmp_path / "recipe.json").read_bytes()
    with pytest.raises(StoreError, match="begun with model = 'seedling'"):
        Workshop.begin(tmp_path, replace(config, model="another"))
    assert (tmp_path / "recipe.json").read_bytes() == before
    later = Workshop.resume(tmp_path, ["keep.threshold=0.25"])
    assert later.config.keep.threshold == 0.25
