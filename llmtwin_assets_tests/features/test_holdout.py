from datetime import date, timedelta

from llmtwin_assets.features.holdout import Candidate, assign


def dated(number: int) -> Candidate:
    return Candidate(f"id-{number:03d}", date(2024, 1, 1) + timedelta(days=number))


def undated(number: int) -> Candidate:
    return Candidate(f"un-{number:03d}", None)


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


def test_nearly_the_same_text_goes_together() -> None:
    copy = Candidate("copy", date(2020, 1, 1))
    splits = assign([*[dated(n) for n in range(20)], copy], {}, [("copy", "id-019")])
    assert splits["id-019"] == splits["copy"] == "held-out"
    far = Candidate("far", date(2020, 1, 2))
    chain = [("far", "copy"), ("copy", "id-019")]
    splits = assign([*[dated(n) for n in range(20)], copy, far], {}, chain)
    assert splits["far"] == "held-out"


def test_a_copy_of_a_train_document_trains() -> None:
    known = dict(assign([dated(n) for n in range(20)], {}))
    copy = Candidate("copy", date(2025, 1, 1))
    splits = assign([*[dated(n) for n in range(20)], copy], known, [("copy", "id-003")])
    assert splits["copy"] == "train"


def test_what_is_nearly_the_same_as_held_out_text_never_trains() -> None:
    known = dict(assign([dated(n) for n in range(20)], {}))
    both, alike = Candidate("both", date(2025, 1, 1)), [("both", "id-003"), ("id-019", "both")]
    assert assign([*[dated(n) for n in range(21)], both], known, alike)["both"] == "held-out"


def test_two_documents_are_enough_to_hold_one_out() -> None:
    assert held(assign([dated(0), dated(1)], {})) == ["id-001"]
    assert held(assign([dated(0)], {})) == []
