import random
from datetime import date, timedelta

from llmtwin_assets.features.holdout import Candidate, assign
from llmtwin_assets_tests.writing import paragraph


def dated(number: int, text: str | None = None) -> Candidate:
    day = date(2024, 1, 1) + timedelta(days=number)
    return Candidate(f"id-{number:03d}", day, text or paragraph(random.Random(number)))


def undated(number: int) -> Candidate:
    return Candidate(f"un-{number:03d}", None, paragraph(random.Random(1_000 + number)))


def held(splits: dict[str, str]) -> list[str]:
    return sorted(id_ for id_, split in splits.items() if split == "held-out")


def test_the_newest_fifteen_percent_are_held_out() -> None:
    splits = assign([dated(n) for n in range(20)], {})
    assert held(splits) == ["id-017", "id-018", "id-019"]


def test_undated_documents_are_held_out_by_id() -> None:
    candidates = [*map(dated, range(20)), *map(undated, range(20))]
    assert held(assign(candidates, {})) == [
        "id-017", "id-018", "id-019", "un-000", "un-001", "un-002",
    ]  # fmt: skip


def test_a_given_split_is_never_given_again() -> None:
    first = assign([dated(n) for n in range(20)], {})
    again = assign([dated(n) for n in range(20)], first)
    assert again == {}
    later = assign([dated(n) for n in range(21)], first)
    assert later == {"id-020": "train"}


def test_later_documents_fill_the_held_out_share() -> None:
    known = dict(assign([dated(n) for n in range(20)], {}))
    for number in range(20, 100):
        known |= assign([dated(n) for n in range(number + 1)], known)
    assert len(known) == 100
    assert 0.14 <= len(held(known)) / 100 <= 0.16


def test_the_same_text_goes_together() -> None:
    copy = Candidate("copy", date(2020, 1, 1), paragraph(random.Random(19)).upper())
    splits = assign([*[dated(n) for n in range(20)], copy], {})
    assert splits["id-019"] == splits["copy"] == "held-out"


def test_a_copy_of_a_train_document_trains() -> None:
    known = dict(assign([dated(n) for n in range(20)], {}))
    copy = Candidate("copy", date(2025, 1, 1), paragraph(random.Random(3)))
    assert assign([*[dated(n) for n in range(20)], copy], known)["copy"] == "train"


def test_nearly_the_same_text_goes_together() -> None:
    edited = dated(19).text.replace("The", "A", 1)
    splits = assign(
        [*[dated(n) for n in range(20)], Candidate("older", date(2020, 1, 1), edited)], {}
    )
    assert edited != dated(19).text
    assert splits["older"] == splits["id-019"] == "held-out"


def test_what_is_nearly_the_same_as_held_out_text_never_trains() -> None:
    known = dict(assign([dated(n) for n in range(20)], {}))
    both = Candidate("both", date(2025, 1, 1), dated(19).text)
    assert assign([*[dated(n) for n in range(21)], both], known)["both"] == "held-out"


def test_two_documents_are_enough_to_hold_one_out() -> None:
    assert held(assign([dated(0), dated(1)], {})) == ["id-001"]
    assert held(assign([dated(0)], {})) == []
