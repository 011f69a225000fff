from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from llmtwin_assets.corpus.reading import (
    Listing,
    UnreadableItemError,
    decode,
    moment,
    raw_hash,
)

NOON = datetime(2024, 3, 5, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2024-03-05T10:00:00Z",
        "2024-03-05T10:00:00.000Z",
        "2024-03-05 10:00:00 UTC",
        "2024-03-05 10:00",
        "2024-03-05T12:00:00+02:00",
        "Tue, 05 Mar 2024 10:00:00 +0000",
        "Tue Mar 05 10:00:00 +0000 2024",
        datetime(2024, 3, 5, 10, 0),
        datetime(2024, 3, 5, 12, 0, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_points_in_time_are_read_as_sources_write_them(value: object) -> None:
    assert moment(value) == NOON


@pytest.mark.parametrize("value", ["2024-03-05", "March 5, 2024", date(2024, 3, 5)])
def test_a_day_is_its_midnight(value: object) -> None:
    assert moment(value) == datetime(2024, 3, 5, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, "", "0000-00-00 00:00:00", "soon", 12, True, "2024-13-45"])
def test_what_is_no_date_is_none(value: object) -> None:
    assert moment(value) is None


def test_a_listing_without_a_store_keeps_its_documents_and_counts_the_rest() -> None:
    listing = Listing()

    def fails() -> None:
        raise UnreadableItemError("a.md", "it is a binary file", "Remove it")

    listing.take("a.md", fails, id_="id-a")
    listing.take("b.md", lambda: None)
    listing.leave_out("drafts")
    listing.leave_out("drafts", 2)
    assert listing.documents == []
    assert listing.quarantined == {"a.md": "a.md: it is a binary file. Remove it."}
    assert listing.unread == {"id-a"}
    assert listing.left_out == {"drafts": 3}


def test_the_raw_hash_is_of_the_bytes() -> None:
    assert raw_hash(b"abc") == raw_hash("abc")
    assert len(raw_hash("\ud800")) == 32
    assert raw_hash("a") != raw_hash("a ")


def test_binary_and_other_encodings_are_refused() -> None:
    assert decode("\ufeffä\r\r\nb\rc".encode(), "x") == "ä\nb\nc"
    for data in (b"a\x00", "ä".encode("latin-1")):
        with pytest.raises(UnreadableItemError, match=r"^x: "):
            decode(data, "x")
