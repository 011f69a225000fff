from datetime import date
from pathlib import Path

import pytest

from llmtwin_assets.corpus.reading import SourceMissingError
from llmtwin_assets_tests.corpus.exports import FORBIDDEN, NAMESPACES, wp_item, wxr, zipped
from llmtwin_assets_tests.corpus.reading_archives import listed, texts

CLASSIC = (
    "First paragraph\nwith a line break.\n\nSecond <strong>paragraph</strong>.\n\n"
    '[gallery ids="1,2"]\n\n[caption id="x"]<img src="a.png" /> What it shows[/caption]\n\n'
    '[sourcecode language="python"]\ndef f():\n\n    return "[sic]"\n[/sourcecode]\n\n'
    "<pre>kept\n\n  as it is</pre>\n\nHe wrote so [sic] himself."
)
BLOCKS = (
    "<!-- wp:paragraph -->\n<p>A block.</p>\n<!-- /wp:paragraph -->\n\n"
    '<!-- wp:heading {"level":3} -->\n<h3>Head</h3>\n<!-- /wp:heading -->\n'
    '<!-- wp:list --><ul class="x"><li>one</li></ul><!-- /wp:list -->'
)


def export(tmp_path: Path, *items: str, **options) -> Path:
    path = tmp_path / "export.xml"
    path.write_text(wxr(*items, **options), "utf-8")
    return path


@pytest.mark.parametrize("version", list(NAMESPACES))
def test_every_namespace_in_use_is_read(tmp_path: Path, version: str) -> None:
    (piece,) = listed(export(tmp_path, wp_item(1, "<p>Words.</p>"), version=version)).documents
    assert (piece.external_id, piece.title, piece.text) == ("1", "Piece 1", "Words.")
    assert (piece.url, piece.published) == ("https://ada.org/1", date(2019, 3, 4))


def test_classic_text_becomes_paragraphs_and_loses_its_shortcodes(tmp_path: Path) -> None:
    assert texts(listed(export(tmp_path, wp_item(1, CLASSIC))))["1"] == (
        "First paragraph\nwith a line break.\n\nSecond **paragraph**.\n\n"
        "What it shows\n\n"
        '```python\ndef f():\n\n    return "[sic]"\n```\n\n'
        "```\nkept\n\n  as it is\n```\n\nHe wrote so [sic] himself."
    )


def test_blocks_become_what_they_show(tmp_path: Path) -> None:
    assert texts(listed(export(tmp_path, wp_item(1, BLOCKS))))["1"] == (
        "A block.\n\n### Head\n\n- one"
    )


def test_only_published_posts_and_pages_come_in(tmp_path: Path) -> None:
    path = export(
        tmp_path,
        wp_item(1, "<p>A post.</p>"),
        wp_item(2, "<p>A page.</p>", "page"),
        wp_item(3, "<p>x</p>", "attachment", wp__status="inherit"),
        wp_item(4, "<p>x</p>", "nav_menu_item"),
        wp_item(5, "<p>x</p>", wp__status="draft", wp__post_date_gmt="0000-00-00 00:00:00"),
        wp_item(6, "<p>x</p>", wp__status="future"),
        wp_item(7, "<p>x</p>", wp__status="private"),
        wp_item(8, "<p>x</p>", wp__status="trash"),
        wp_item(9, "<p>secret</p>", wp__post_password="pass"),
    )
    listing = listed(path)
    assert set(texts(listing)) == {"1", "2"}
    assert listing.left_out["drafts"] == 4
    assert listing.left_out["pieces for members or payers, without consent"] == 1
    assert texts(listed(path, consent="paid"))["9"] == "secret"


def test_pieces_of_other_hands_stay_out_by_login(tmp_path: Path) -> None:
    items = (wp_item(1, "<p>Mine.</p>"), wp_item(2, "<p>Bob's.</p>", dc__creator="bob"))
    listing = listed(export(tmp_path, *items))
    assert texts(listing) == {"1": "Mine."}
    assert listing.left_out == {"pieces by others": 1}
    assert texts(listed(export(tmp_path, *items), bylines=["Bob Writer"])) == {
        "1": "Mine.",
        "2": "Bob's.",
    }


def test_a_blog_of_one_hand_is_its_owners_whatever_the_login(tmp_path: Path) -> None:
    item = wp_item(1, "<p>Mine.</p>", dc__creator="admin")
    assert len(listed(export(tmp_path, item, authors=("admin",))).documents) == 1


def test_a_blog_of_others_is_refused_and_says_who_they_are(tmp_path: Path) -> None:
    path = export(tmp_path, wp_item(1, "<p>x</p>"), authors=("bob", "eve"))
    with pytest.raises(SourceMissingError, match=r"bob, eve.*bylines") as refusal:
        listed(path)
    assert "@" not in str(refusal.value)


def test_comments_and_addresses_of_readers_are_not_read(tmp_path: Path) -> None:
    (piece,) = listed(export(tmp_path, wp_item(1, "<p>Words.</p>"))).documents
    assert FORBIDDEN not in repr(piece)
    assert "bob@x.org" not in repr(piece)
    assert "excerpt" not in piece.text


def test_control_characters_and_a_broken_item_lose_no_other(tmp_path: Path) -> None:
    broken = wp_item(2, "<p>x</p>").replace("</title>", "</titel>")
    path = export(tmp_path, wp_item(1, "<p>a\x08b\x0b</p>"), broken, wp_item(3, "<p>c</p>"))
    listing = listed(path)
    assert texts(listing) == {"1": "ab", "3": "c"}
    assert "not well-formed" in listing.quarantined["export.xml#2"]


def test_a_post_about_rss_is_one_item(tmp_path: Path) -> None:
    content = "<p>An item ends with &lt;/item&gt;:</p><pre></item><item></pre><p>End.</p>"
    listing = listed(export(tmp_path, wp_item(1, content), wp_item(2, "<p>b</p>")))
    assert sorted(texts(listing)) == ["1", "2"]
    assert texts(listing)["1"].endswith("End.")


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(
        f'<!ENTITY lol{n} "{f"&lol{n - 1 if n > 1 else str()};" * 10}">' for n in range(1, 10)
    )
    + "]>"
)


@pytest.mark.parametrize(
    "doctype",
    [BOMB, '<!DOCTYPE rss SYSTEM "file:///etc/passwd">', '<!DOCTYPE a [<!ENTITY x SYSTEM "f">]>'],
)
def test_a_document_type_is_refused(tmp_path: Path, doctype: str) -> None:
    path = tmp_path / "export.xml"
    text = wxr(wp_item(1, "<p>&lol9;</p>"))
    path.write_text(text.replace("<rss", f"{doctype}<rss", 1), "utf-8")
    listing = listed(path)
    assert listing.documents == []
    assert "document type" in listing.quarantined["export.xml"]


def test_a_split_export_is_one(tmp_path: Path) -> None:
    files = {f"part-{n}.xml": wxr(wp_item(n, f"<p>Piece number {n}.</p>")) for n in (1, 2, 3)}
    assert set(texts(listed(zipped(tmp_path / "wp.zip", files)))) == {"1", "2", "3"}


def test_a_cut_export_gives_what_stands_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "export.xml"
    text = wxr(wp_item(1, "<p>a</p>"), wp_item(2, "<p>b</p>"))
    path.write_text(text[: text.rindex("content:encoded") - 5], "utf-8")
    listing = listed(path)
    assert texts(listing) == {"1": "a"}
    assert "ends within an item" in listing.quarantined["export.xml"]


def test_an_item_of_a_hundred_thousand_elements_within_one_another_is_survived(
    tmp_path: Path,
) -> None:
    deep = wp_item(2, "x").replace("<description>", "<a>" * 100_000 + "<description>")
    listing = listed(export(tmp_path, wp_item(1, "<p>a</p>"), deep, wp_item(3, "<p>c</p>")))
    assert texts(listing) == {"1": "a", "3": "c"}
    assert "export.xml#2" in listing.quarantined
