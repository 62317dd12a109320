"""The data set folder of a store."""

import numpy as np
import polars as pl
import pytest
import yaml

from rulekit.rating import export
from rulekit.rating.annotation import annotate
from rulekit.rating.store import Store
from tests.rating.helpers import CELLS, RULES, HashJudge, some_pairs


def test_the_data_set_folder_holds_every_rating_and_a_card(tmp_path):
    pairs = some_pairs(10)
    scores = annotate(pairs, RULES, HashJudge(), tmp_path / "store")
    with Store(tmp_path / "store", HashJudge.identity) as store:
        folder = export.write_dataset(tmp_path / "set", pairs, RULES, store)
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    tables = {c["config_name"]: pl.read_parquet(folder / c["data_files"]) for c in front["configs"]}
    assert {n: len(t) for n, t in tables.items()} == {
        "ratings": 15 * CELLS,
        "responses": 15,
        "pairs": 10,
        "rules": CELLS,
    }
    wide = tables["ratings"].pivot("rule_id", index="response_id", values="score")
    a = tables["pairs"].join(
        wide, left_on="response_id_a", right_on="response_id", maintain_order="left"
    )
    assert np.array_equal(a.select(RULES.ids).to_numpy(), scores.a)


def test_the_data_set_folder_loads_with_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    annotate(some_pairs(10), RULES, HashJudge(), tmp_path / "store")
    with Store(tmp_path / "store", HashJudge.identity) as store:
        folder = str(export.write_dataset(tmp_path / "set", some_pairs(10), RULES, store))
    for name, n in (("ratings", 15 * CELLS), ("responses", 15), ("pairs", 10), ("rules", CELLS)):
        found = datasets.load_dataset(folder, name, split="train", cache_dir=str(tmp_path / "c"))
        assert len(found) == n
