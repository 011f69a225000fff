from datetime import date
from pathlib import Path

import pytest

from llmtwin_assets_tests.corpus.exports import (
    FORBIDDEN,
    SUBSTACK_BODY,
    SUBSTACK_COLUMNS,
    substack,
    substack_row,
    table,
    zipped,
)
from llmtwin_assets_tests.corpus.reading_archives import listed, texts


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return zipped(tmp_path / "substack.zip", substack())


def test_public_pieces_come_with_title_date_and_address(archive: Path) -> None:
    copper = next(d for d in listed(archive).documents if d.external_id == "101")
    assert copper.title == "Copper & Tin"
    assert copper.published == date(2021, 2, 3)
    assert copper.url == "https://ada.substack.com/p/on-copper"
    assert (copper.visibility, copper.consent) == ("public", None)


def test_the_body_comes_without_widgets_and_other_peoples_words(archive: Path) -> None:
    assert texts(listed(archive))["101"] == (
        "A subtitle\n\n"
        "Copper is **soft**.[^1]\n\n"
        "My caption.\n\n"
        "$$a^2$$\n\n"
        "## More\n\n"
        "```python\ndef f():\n    return 1\n```\n\n"
        "[^1]: A note of mine."
    )


def test_a_piece_joins_its_row_by_its_number(archive: Path) -> None:
    assert texts(listed(archive))["107"] == "Seven words are in this short piece."


def test_paid_and_members_pieces_need_consent(archive: Path) -> None:
    listing = listed(archive)
    assert set(texts(listing)) == {"101", "107"}
    assert listing.left_out["pieces for members or payers, without consent"] == 2
    consented = {d.external_id: d for d in listed(archive, consent="paid").documents}
    assert (consented["102"].visibility, consented["102"].consent) == ("paid", "paid")
    assert (consented["103"].visibility, consented["103"].consent) == ("members", "paid")
    assert consented["101"].consent is None


def test_drafts_stay_out_and_what_does_not_join_is_quarantined(archive: Path) -> None:
    listing = listed(archive)
    assert listing.left_out["drafts"] == 1
    assert listing.left_out["pieces without text"] == 1
    assert sorted(listing.quarantined) == ["posts.csv#105", "posts/108.no-row.html"]
    assert "no row 108" in listing.quarantined["posts/108.no-row.html"]
    assert "no body" in listing.quarantined["posts.csv#105"]


def test_lists_of_subscribers_are_never_opened(archive: Path, opened: list[str]) -> None:
    listing = listed(archive, consent="paid")
    assert not [name for name in opened if "email" in name or "opens" in name or "deliv" in name]
    assert FORBIDDEN not in "".join(d.text for d in listing.documents)


def test_an_older_export_without_the_inbox_column_is_read(tmp_path: Path) -> None:
    columns = [c for c in SUBSTACK_COLUMNS if c != "inbox_sent_at"]
    row = substack_row("1.x", title="Old")
    del row[SUBSTACK_COLUMNS.index("inbox_sent_at")]
    files = {"x/posts.csv": table(columns, row), "x/posts/1.x.html": SUBSTACK_BODY}
    assert [d.title for d in listed(zipped(tmp_path / "s.zip", files)).documents] == ["Old"]


def test_the_publications_address_can_be_given(archive: Path) -> None:
    short = next(
        d
        for d in listed(archive, url="https://letters.ada.org").documents
        if d.external_id == "101"
    )
    assert short.url == "https://letters.ada.org/p/on-copper"
