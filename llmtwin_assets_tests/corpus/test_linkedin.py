from datetime import date
from pathlib import Path

import pytest

from llmtwin_assets_tests.corpus.exports import (
    BOLD,
    FORBIDDEN,
    SHARE_COLUMNS,
    linkedin,
    share,
    table,
    unpacked,
    zipped,
)
from llmtwin_assets_tests.corpus.reading_archives import listed, texts


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return zipped(tmp_path / "Complete_LinkedInDataExport_1.zip.zip", linkedin())


def test_line_breaks_come_back_as_they_were_typed(archive: Path) -> None:
    post = next(d for d in listed(archive, "post").documents if d.external_id == "7001")
    assert post.text == "First line.\nSecond line.\n\nLast line."
    assert post.title == "First line."
    assert post.published == date(2022, 3, 4)
    assert post.url.endswith("7001")


@pytest.mark.parametrize(
    ("link", "id_"),
    [
        ("https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A30123", "30123"),
        ("https://www.linkedin.com/feed/update/urn:li:ugcPost:30123", "30123"),
        ("https://www.linkedin.com/feed/update/urn:li:groupPost:30-45", "30-45"),
        ("https://www.linkedin.com/posts/ada_copper-activity-30123-x", "30123"),
        ("https://lnkd.in/x", "https://lnkd.in/x"),
    ],
)
def test_a_post_is_known_by_its_number(tmp_path: Path, link: str, id_: str) -> None:
    files = {"Shares.csv": table(SHARE_COLUMNS, share(1, "Words.", ShareLink=link))}
    (post,) = listed(zipped(tmp_path / "l.zip", files)).documents
    assert post.external_id == id_


def test_bold_letters_and_short_links_are_kept_as_they_are(archive: Path) -> None:
    assert texts(listed(archive, "post"))["7003"] == f"{BOLD}, he said: https://lnkd.in/abc"


def test_bare_reposts_and_posts_for_connections_stay_out(archive: Path) -> None:
    listing = listed(archive, "post")
    assert {"7002", "7007"}.isdisjoint(texts(listing))
    assert listing.left_out["reposts of others"] == 1
    assert listing.left_out["pieces for members or payers, without consent"] == 1
    consented = {d.external_id: d for d in listed(archive, "post", consent="paid").documents}
    assert consented["7007"].visibility == "connections"


def test_articles_come_without_newsletter_and_drafts(archive: Path) -> None:
    listing = listed(archive, "article")
    (article,) = listing.documents
    assert article.title == "Copper"
    assert article.text == "The article's **own** words."
    assert article.url == "https://www.linkedin.com/pulse/copper"
    assert article.published == date(2018, 1, 3)
    assert article.created is not None
    assert listing.left_out == {"drafts": 1}


def test_each_kind_opens_only_its_own_files(archive: Path, opened: list[str]) -> None:
    listed(archive, "post")
    assert set(opened) == {"Shares.csv"}
    opened.clear()
    listed(archive, "article")
    assert {name for name in opened if not name.startswith("Articles/")} <= {"Shares.csv"}


def test_messages_connections_and_addresses_are_never_opened(
    archive: Path,
    opened: list[str],
) -> None:
    listing = listed(archive, consent="paid")
    allowed = {"Shares.csv", "Articles/Articles/copper.html", "Articles/Articles/draft.html"}
    assert set(opened) <= allowed
    assert FORBIDDEN not in "".join(d.text for d in listing.documents)


@pytest.mark.parametrize(("root", "suffix"), [("Basic_Export/", ""), ("", "_12345")])
def test_exports_in_a_folder_and_with_numbers_are_recognised(
    tmp_path: Path, root: str, suffix: str
) -> None:
    folder = unpacked(tmp_path / "export", linkedin(root, suffix))
    assert len(listed(folder, "post").documents) == 5


def test_articles_of_the_old_place_are_recognised_alone(tmp_path: Path) -> None:
    files = {
        name.replace("Articles/Articles/", "Articles/"): content
        for name, content in linkedin().items()
        if name.startswith("Articles/")
    }
    assert len(listed(zipped(tmp_path / "l.zip", files)).documents) == 1
