"""Texts that were compared are not compared again, and the pairs are the same."""

import random
from pathlib import Path

import polars as pl
import pytest

from llmtwin_assets.features import compared, runs
from llmtwin_assets.features.compared import compare, load
from llmtwin_assets.features.near_duplicates import SAME
from llmtwin_assets_tests.features.test_near_duplicates import corpus, edited
from llmtwin_assets_tests.writing import paragraph


def table(texts: dict[str, str]) -> pl.DataFrame:
    rows = [(id_, str(hash(text)), text) for id_, text in texts.items()]
    columns = dict.fromkeys(["id", "hash", "text"], pl.String)
    return pl.DataFrame(rows, schema=columns, orient="row")


def found(each: compared.Compared) -> set[tuple[frozenset[str], float]]:
    return {(frozenset((a, b)), round(share, 9)) for a, b, share in each.found()}


@pytest.mark.parametrize("same", [0.5, SAME, 0.9])
def test_pairs_are_those_of_a_whole_comparison_whatever_comes_and_goes(
    tmp_path: Path, same: float
) -> None:
    rng = random.Random(7)
    texts = {f"t{n}": text for n, text in enumerate(corpus(rng))}
    before = compare(table(texts), same)
    seen = 0
    for turn in range(12):
        for id_ in rng.sample(list(texts), 3):
            texts.pop(id_)
        for id_ in rng.sample(list(texts), 3):
            texts[id_] = edited(texts[id_], 0.03, rng)
        for number in range(2):
            like = edited(rng.choice(list(texts.values())), 0.01 * number, rng)
            texts[f"n{turn}-{number}"] = like
        before.save(tmp_path)
        rows = table(texts)
        before = compare(rows, same, load(tmp_path.joinpath))
        assert found(before) == found(compare(rows, same))
        seen += len(before.found())
    assert seen > 12


def test_only_what_may_be_alike_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(8)
    texts = {f"t{n}": paragraph(rng, 8) for n in range(200)}
    before = compare(table(texts), SAME)
    read: list[str] = []
    monkeypatch.setattr(
        compared, "runs_of", lambda texts: read.extend(texts) or runs.runs_of(texts)
    )
    texts["new"] = edited(texts["t7"], 0.02, rng)
    again = compare(table(texts), SAME, before)
    assert [{"new", "t7"}] == [{a, b} for a, b, _ in again.found()]
    assert texts["new"] in read
    assert texts["t7"] in read
    assert len(read) < 60


def test_there_may_be_nothing_to_compare() -> None:
    nothing = compare(table({}), SAME)
    assert nothing.found() == []
    assert compare(table({"a": ""}), SAME, nothing).found() == []
    blank = compare(table({"a": "", "b": "!"}), SAME)
    assert compare(table({"a": "", "b": "!", "c": "one two"}), SAME, blank).found() == []
