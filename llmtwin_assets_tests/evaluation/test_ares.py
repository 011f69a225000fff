"""From labelled answers to shares: files, readers, the local judges, and silence without labels."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.evaluation import ares, labels, sections
from llmtwin_assets.evaluation.labels import Case, Labelled
from llmtwin_assets_tests.evaluation.test_knowledge import embed
from llmtwin_assets_tests.writing import paragraph
from resources.interactions import Interactions

NOUNS = "tribunal senate faction treaty militia revenue charter magistrate".split()


def foreign(seed: int) -> str:
    draw = random.Random(seed)
    said = [f"A {draw.choice(NOUNS)} restrains every {draw.choice(NOUNS)} here." for _ in range(5)]
    return " ".join(said)


def case(number: int, good: bool) -> Case:
    passage = paragraph(random.Random(number))
    return Case(passage.split(".")[0] + "?", passage if good else foreign(number), [passage])


@pytest.fixture(scope="module")
def judges() -> dict[str, ares.Judge]:
    passages = [[paragraph(random.Random(1_000 + number))] for number in range(20)]
    answered = [(own[0].split(".")[0] + "?", own[0]) for own in passages]
    strange = [foreign(number) for number in range(2_000, 2_012)]
    return ares.judges(passages, strange, answered, embed)


def population(count: int, start: int, share: float) -> list[tuple[Case, bool]]:
    draw = random.Random(start)
    truths = [draw.random() < share for _ in range(count)]
    return [(case(start + row, truth), truth) for row, truth in enumerate(truths)]


def test_a_few_labels_and_a_local_judge_tell_the_share_more_exactly_than_labels_alone(
    judges: dict[str, ares.Judge],
) -> None:
    said = [
        Labelled(each, {"supported": truth, "relevant": truth})
        for each, truth in population(30, 0, 0.6)
    ]
    others = population(150, 500, 0.6)
    found = ares.figures(said, [each for each, _ in others], judges)
    assert set(found) == {"supported", "relevant"}
    for each in found.values():
        assert each["low"] <= 0.6 <= each["high"]
        plain = each["classical"]
        assert each["high"] - each["low"] < plain["high"] - plain["low"]
        assert each["weight"] > 0.5
        assert (each["labelled"], each["unlabelled"]) == (30, 150)
    assert json.loads(json.dumps(found)) == found


def test_without_labels_it_says_so_and_gives_no_share(judges: dict[str, ares.Judge]) -> None:
    others = [each for each, _ in population(20, 0, 0.5)]
    found = ares.figures([], others, judges)
    assert "No answer was labelled" in found["because"]
    few = ares.figures([Labelled(each, {"good": True}) for each in others[:4]], others, judges)
    assert set(few["good"]) == {"labelled", "because"}
    assert "too few" in few["good"]["because"]


def test_where_no_judge_can_be_fitted_the_labels_stand_alone() -> None:
    said = [Labelled(each, {"supported": truth}) for each, truth in population(20, 0, 0.5)]
    found = ares.figures(said, [], ares.judges([], [], [], embed))["supported"]
    assert found["weight"] == 0
    assert found["unlabelled"] == 0
    assert {name: found[name] for name in found["classical"]} == found["classical"]


def test_a_file_of_labels_loses_no_line_to_a_bad_one(tmp_path: Path) -> None:
    good = {"question": "Why?", "answer": "So.", "passages": ["So it is."], "supported": True}
    lines: list[Any] = [
        good,
        {**good, "author": "grace"},
        {"question": "Why?", "answer": "So.", "relevant": False},
        {"question": "Why?", "answer": ""},
        {**good, "supported": "yes"},
        {"question": "Why?", "answer": "So.", "supported": True},
        ["a list"],
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join([*map(json.dumps, lines), "{cut", ""]), "utf-8")
    found, problems = labels.from_file(path, "ada")
    assert [dict(each.labels) for each in found] == [{"supported": True}, {"relevant": False}]
    assert [problem.split(":")[0] for problem in problems] == [
        f"line {number} of labels.jsonl" for number in (4, 5, 6, 7, 8)
    ]
    with pytest.raises(labels.NoLabelsError, match="LLMTWIN_LABELS"):
        labels.from_file(tmp_path / "none.jsonl", "ada")


def test_readers_thumbs_are_labels(tmp_path: Path) -> None:
    store = Interactions(tmp_path / "i.sqlite")
    for number, variant in enumerate(("twin", "twin", "base", "twin")):
        store.add_trace(
            {"id": f"t{number}", "author": "ada", "started": f"2026-01-0{number + 1}",
             "variant": variant, "question": f"q{number}", "answer": f"a{number}", "sampled": True}
        )  # fmt: skip
    for number, rating in enumerate((1, -1, 1)):
        store.add_feedback("ada", f"t{number}", rating)
    people = labels.heard(None, store, "ada")
    assert people.labelled(lambda question: [f"for {question}"]) == [
        Labelled(Case("q0", "a0", ["for q0"]), {"good": True}),
        Labelled(Case("q1", "a1", ["for q1"]), {"good": False}),
    ]
    assert people.unrated(lambda question: []) == [Case("q3", "a3", [])]
    store.add_feedback("ada", "t1", 1)
    assert labels.heard(None, store, "ada").digest() != people.digest()
    assert not labels.heard(None, store, "grace").spoke


def test_the_page_shows_the_share_or_says_why_there_is_none() -> None:
    share = {"value": 0.6, "low": 0.5, "high": 0.7, "weight": 0.8}
    found = {"labelled": {"supported": {**share, "classical": share, "labelled": 30,
                                        "unlabelled": 150}}}  # fmt: skip
    assert "<td>0.60 (0.50\xa0to\xa00.70)</td>" in "".join(sections.labelled(found))
    silent = {"labelled": ares.figures([], [], {})}
    assert "No answer was labelled" in "".join(sections.labelled(silent))
