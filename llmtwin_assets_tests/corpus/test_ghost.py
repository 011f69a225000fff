import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.corpus.reading import SourceMissingError
from llmtwin_assets_tests.corpus.exports import FORBIDDEN, ghost, ghost_post, zipped
from llmtwin_assets_tests.corpus.reading_archives import listed, texts


def export(tmp_path: Path, *posts: dict[str, Any], **options: Any) -> Path:
    path = tmp_path / "ada.ghost.2024.json"
    path.write_text(ghost(*posts, **options), "utf-8")
    return path


def lexical(*nodes: dict[str, Any]) -> str:
    return json.dumps({"root": {"type": "root", "children": list(nodes)}})


def text(words: str, format_: int = 0) -> dict[str, Any]:
    return {"type": "extended-text", "text": words, "format": format_}


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_post_comes_with_its_dates_and_address(tmp_path: Path, wrapped: bool) -> None:
    path = export(tmp_path, ghost_post(1), wrapped=wrapped)
    (post,) = listed(path, url="https://ada.org").documents
    assert post.text == "Words of piece 1 at [home](https://ada.org/x/)."
    assert post.url == "https://ada.org/piece-1/"
    assert post.published == date(2020, 1, 2)
    assert post.updated == datetime(2020, 2, 1, tzinfo=UTC)


def test_the_canonical_address_wins(tmp_path: Path) -> None:
    path = export(tmp_path, ghost_post(1, canonical_url="https://medium.com/p/1a2b3c4d5e6f"))
    assert listed(path).documents[0].url == "https://medium.com/p/1a2b3c4d5e6f"


def test_lexical_is_rendered_when_there_is_no_html(tmp_path: Path) -> None:
    document = lexical(
        {"type": "heading", "tag": "h2", "children": [text("Head")]},
        {"type": "paragraph", "children": [text("Bold", 1), text(" and "), text("both", 3),
            {"type": "link", "url": "https://x.org", "children": [text("link")]}]},
        {"type": "list", "listType": "number", "children": [
            {"type": "listitem", "children": [text("one")]}]},
        {"type": "codeblock", "code": "if a < b:\n    pass", "language": "python"},
        {"type": "bookmark", "url": "https://other.org", "metadata": {"title": "Theirs"}},
        {"type": "callout", "calloutText": "Note this."},
        {"type": "image", "caption": "What it shows"},
        {"type": "extended-quote", "children": [text("Quoted.")]},
        {"type": "signup", "header": "Subscribe!"},
    )  # fmt: skip
    path = export(tmp_path, ghost_post(1, html=None, lexical=document))
    assert texts(listed(path))["p1"] == (
        "## Head\n\n**Bold** and ***both***[link](https://x.org)\n\n1. one\n\n"
        "```python\nif a < b:\n    pass\n```\n\n> Note this.\n\nWhat it shows\n\n> Quoted."
    )


def test_mobiledoc_is_rendered_when_there_is_nothing_else(tmp_path: Path) -> None:
    document = {
        "version": "0.3.1",
        "atoms": [["soft-return", "", {}]],
        "cards": [["code", {"code": "x = 1", "language": "py"}], ["bookmark", {"url": "x"}],
                  ["markdown", {"markdown": "# Typed\n\n- one"}]],
        "markups": [["strong"], ["a", ["href", "https://x.org"]]],
        "sections": [[1, "p", [[0, [0], 1, "Bold"], [0, [], 0, " and "], [0, [1], 1, "link"],
                               [1, [], 0, 0], [0, [], 0, "next"]]],
                     [3, "ul", [[[0, [], 0, "one"]]]], [10, 0], [10, 1], [10, 2]],
    }  # fmt: skip
    path = export(tmp_path, ghost_post(1, html=None, mobiledoc=json.dumps(document)))
    assert texts(listed(path))["p1"] == (
        "**Bold** and [link](https://x.org)\nnext\n\n- one\n\n```py\nx = 1\n```\n\n# Typed\n\n- one"
    )


def test_only_what_is_out_comes_in(tmp_path: Path) -> None:
    path = export(
        tmp_path,
        ghost_post(1),
        ghost_post(2, status="draft"),
        ghost_post(3, status="scheduled"),
        ghost_post(4, status="sent"),
        ghost_post(5, type="page"),
        ghost_post(6, visibility="members"),
        ghost_post(7, visibility="paid"),
        ghost_post(8, visibility="tiers"),
    )
    listing = listed(path)
    assert set(texts(listing)) == {"p1", "p4", "p5"}
    assert listing.left_out == {"drafts": 2, "pieces for members or payers, without consent": 3}
    consented = {d.external_id: d.visibility for d in listed(path, consent="paid").documents}
    assert (consented["p6"], consented["p7"], consented["p8"]) == ("members", "paid", "paid")


def test_pieces_of_other_and_of_several_hands_stay_out(tmp_path: Path) -> None:
    path = export(
        tmp_path,
        ghost_post(1),
        ghost_post(2),
        ghost_post(3),
        hands={"p1": ["u1"], "p2": ["u2"], "p3": ["u1", "u2"]},
    )
    listing = listed(path)
    assert set(texts(listing)) == {"p1"}
    assert listing.left_out == {"pieces by others": 2}


def test_an_old_export_names_one_author_in_the_post(tmp_path: Path) -> None:
    old = json.loads(ghost(ghost_post(1, author_id="u1"), ghost_post(2, author_id="u2")))
    del old["db"][0]["data"]["posts_authors"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old))
    assert set(texts(listed(path))) == {"p1"}


def test_a_site_of_others_is_refused_and_says_who_they_are(tmp_path: Path) -> None:
    data = ghost(ghost_post(1)).replace("Ada Writer", "Eve").replace('"ada"', '"eve"')
    path = tmp_path / "g.json"
    path.write_text(data)
    with pytest.raises(SourceMissingError, match=r"Bob Other, Eve.*bylines"):
        listed(path)


def test_members_settings_and_passwords_do_not_come_in(tmp_path: Path) -> None:
    listing = listed(export(tmp_path, ghost_post(1)))
    assert FORBIDDEN not in repr(listing.documents)


@pytest.mark.parametrize(
    "broken",
    [
        {"html": None, "lexical": "{"},
        {"html": None, "lexical": "[" * 100_000},
        {"html": None, "lexical": "[]"},
        {"html": None, "mobiledoc": '{"sections": [[1, "p", [[0, [9], 1, "x"]]]]}'},
        {"html": "<div>" * 100_000 + "x"},
    ],
)
def test_a_broken_post_loses_no_other(tmp_path: Path, broken: dict[str, Any]) -> None:
    listing = listed(export(tmp_path, ghost_post(1, **broken), ghost_post(2)))
    assert set(texts(listing)) == {"p2"}
    assert len(listing.quarantined) == 1


def test_a_zip_with_pictures_is_read(tmp_path: Path) -> None:
    files = {"data/ada.ghost.json": ghost(ghost_post(1)), "images/x.png": b"\x89PNG"}
    assert set(texts(listed(zipped(tmp_path / "g.zip", files)))) == {"p1"}
