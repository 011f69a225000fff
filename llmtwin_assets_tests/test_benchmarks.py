import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from benchmarks import choices, datasets, scale
from benchmarks.orchestration import REPEATS, one_more
from benchmarks.output import emit, goal
from benchmarks.retrieval import coverage, ndcg, ratio, reference_chunks
from benchmarks.twin import over_seeds
from benchmarks.vectors import measure
from llmtwin_assets.records import Document
from llmtwin_assets_tests.writing import paragraph


def articles(texts: list[str], held_out: int) -> list[Document]:
    return [
        Document(
            id=f"d{n}", kind="article", url="", title=f"Of matter {n}", published=None, text=text,
            search=text, raw_hash="", split="held-out" if n == held_out else "train",
        )
        for n, text in enumerate(texts)
    ]  # fmt: skip


def test_a_benchmark_prints_one_object_with_five_keys(capsys: pytest.CaptureFixture[str]) -> None:
    emit("name", "data", {"ours": {"seconds": 1.0}}, {"fast": goal(2.0, 1.0)})
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["name", "machine", "data", "results", "goals"]
    assert printed["goals"]["fast"] == {"goal": 2.0, "got": 1.0, "met": True}


def test_goals_say_whether_they_were_met() -> None:
    assert not goal(2.0, 3.0)["met"]
    assert goal(2.0, 3.0, at_most=False)["met"]


def test_one_more_document_is_measured_beside_its_floor(tmp_path: Path) -> None:
    costs = one_more(tmp_path, 40)
    assert all(cost > 0 for cost in costs.values())
    assert "copy of the files, wall seconds" in costs
    assert "CPU seconds in embeddings" in costs
    held = sorted((tmp_path / "corpus").iterdir())
    assert len(held) == 40 + REPEATS


def test_a_backfill_is_one_run_per_author_or_one_for_all() -> None:
    names = [f"author-{n}" for n in range(3)]
    with dg.DagsterInstance.ephemeral() as instance:
        cost = scale.backfill(instance, names, scale.job_of(scale.nothing))
        runs = instance.get_runs()
        scale.range_run(instance, names, scale.job_of(scale.together))
        made = instance.get_materialized_partitions(scale.together.key)
        assert len(instance.get_runs()) == 4
    assert {run.tags["dagster/partition"] for run in runs} == set(names)
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert made == set(names)
    assert cost.own > 0


def test_what_a_process_used_is_counted_though_it_has_ended_and_its_parent_too() -> None:
    busy = "import time\nwhile time.process_time() < 1.5: continue"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    with scale.watching() as spent:
        before = set(spent)
        subprocess.run([sys.executable, "-c", parent], check=True)
        assert sum(used for process, used in spent.items() if process not in before) > 0.5


def test_coverage_counts_answering_characters_within_the_budget() -> None:
    answer = [("d", 100, 200)]
    assert coverage([("d", 0, 150)], answer) == 0.5
    assert coverage([("d", 0, 150), ("d", 100, 200)], answer) == 1
    assert coverage([("e", 0, 3_950), ("d", 100, 200)], answer) == 0.5
    assert coverage([("e", 100, 200)], answer) == 0
    assert coverage([("d", 0, 9_000)], [("d", 0, 8_000)]) == 1


def test_ndcg_compares_with_the_best_order_of_the_systems_own_passages() -> None:
    passages = [("d", 0, 100), ("d", 100, 200), ("d", 200, 300)]
    answer = [("d", 150, 220)]
    assert ndcg([passages[1], passages[2], passages[0]], answer, passages) == 1
    assert 0 < ndcg([passages[2], passages[1]], answer, passages) < 1
    assert ndcg([passages[0]], answer, passages) == 0


def test_a_ratio_of_equals_is_one_and_its_interval_is_paired() -> None:
    rows = {"a": [(0.1, 0.0), (0.9, 1.0)] * 20, "b": [(0.5, 0.5)] * 9}
    assert ratio(rows, rows, 0) == (1.0, 1.0, 1.0)


def test_the_references_chunks_are_long_and_lose_what_is_short() -> None:
    sentence = "This is a sentence of some forty letters. "
    assert reference_chunks(sentence * 20) == []
    spans = reference_chunks(sentence * 60)
    assert [1_000 <= end - start <= 2_000 for start, end in spans] == [True]
    assert spans[0][1] < len(sentence * 60) - 400


def test_the_store_is_measured_beside_an_exact_scan() -> None:
    found = measure(300, 3)
    assert found["ours, filtered, 300"]["recall@10"] == 1
    assert found["local mode, hybrid, 300"]["recall@10"] == 1
    assert found["exact, plain, 300"]["questions"] == 3


def test_the_interval_over_few_seeds_is_students() -> None:
    exact = [{"value": value, "low": value, "high": value} for value in (0.7, 0.8, 0.9)]
    found = over_seeds(exact)
    assert found["value"] == pytest.approx(0.8)
    assert found["high"] - found["value"] == pytest.approx(2.92 * 0.1 / 3**0.5, abs=1e-3)
    one = over_seeds([{"value": 0.5, "low": 0.4, "high": 0.6}])
    assert one == {"value": 0.5, "low": 0.4, "high": 0.6}


def test_a_choice_is_paired_with_the_unchanged_recipe_by_seed() -> None:
    plain = [{"nats": 3.0}, {"nats": 3.4}, {"nats": 3.2}]
    own = [
        {"nats": each["nats"] - apart} for each, apart in zip(plain, (0.1, 0.2, 0.3), strict=True)
    ]
    found = choices.paired(own, plain)["nats"]
    assert (found["value"], found["difference"]) == (3.0, -0.2)
    reach = 2.92 * 0.1 / 3**0.5
    assert found["interval"] == pytest.approx([-0.2 - reach, -0.2 + reach], abs=1e-3)
    assert "interval" not in choices.paired(own[:1], plain[:1])["nats"]


def test_rows_without_filters_are_more_but_hold_nothing_held_out() -> None:
    rng = random.Random(5)
    texts = ["\n\n".join(paragraph(rng) for _ in range(4)) for _ in range(3)]
    texts.append(f"{texts[0]}\n\n{texts[2]}")  # a copy of one that is learned, and of one held out
    documents = articles(texts, held_out=2)
    good, every = datasets.made(documents), choices.unfiltered(documents)
    assert {row.id for row in good} < {row.id for row in every}
    copied = {row.id for row in every if row.split == "train" and row.answer in texts[2]}
    assert not copied


def test_filters_win_every_row_of_a_clean_archive_back_from_a_messy_one() -> None:
    rng = random.Random(9)
    documents = articles(["\n\n".join(paragraph(rng) for _ in range(6)) for _ in range(6)], 5)
    found = choices.restored(documents, datasets.made(documents))
    assert found["rows"] > 2 * found["kept"]
    assert found["kept that the clean archive has"] == found["kept"]
    assert found["kept"] == len(datasets.made(documents))


def test_a_choice_of_dpo_is_compared_with_dpo() -> None:
    assert choices.beside("dpo, beta .05") == "dpo"
    assert choices.beside("dpo") == choices.beside("batch of 2") == choices.PLAIN


def test_a_data_set_is_counted_apart_from_the_code_that_makes_it() -> None:
    rng = random.Random(7)
    texts = ["\n\n".join(paragraph(rng) for _ in range(6)) for _ in range(6)]
    documents = articles(texts, held_out=5)
    rows = datasets.made(documents)
    good = datasets.worth(rows, documents)
    assert (good["grounded"], good["train rows that leak"], good["duplicate answers"]) == (1, 0, 0)
    assert good["share of train text used"] > 0.95
    held = documents[5].text
    spoilt = [replace(rows[0], instruction=held), replace(rows[1], answer=rows[2].answer.upper())]
    bad = datasets.worth([*spoilt, *rows[2:]], documents)
    assert bad["train rows that leak"] == 1
    assert bad["duplicate answers"] == 1
    assert bad["grounded"] == 1 - 1 / len(rows)


def test_the_rules_of_the_peer_are_the_same_rules() -> None:
    good = datasets.synthetic(60)
    answers = [
        "", "bad \ufffd text of it", "<b>a</b> <i>b</i> of it", "x = 1\ny = 2\nprint(x)\nz = 3",
        "12 34 56 78 9", "Too short.", "word " * 1_300, "as an AI language model I know of it",
        "Subscribe now and share this post", "the same again " * 20, "see https://a.b c",
    ]  # fmt: skip
    table = good.with_columns(
        answer=pl.Series([*answers, *good["answer"][len(answers) :]]).cast(pl.String)
    )
    assert datasets.our_rules(good) == datasets.pandas_rules(good.to_pandas()) == 0
    ours, peers = datasets.our_rules(table), datasets.pandas_rules(table.to_pandas())
    assert ours == peers == len(answers)


def test_distinct_counts_different_runs_of_words() -> None:
    assert datasets.distinct([["a", "b"], ["a", "b"]], 1) == 0.5
    assert datasets.distinct([["a", "b", "c"], ["a", "b"]], 2) == 2 / 3
