import json
from datetime import date
from pathlib import Path

import pytest

from llmtwin_assets.authors import WarehouseSource
from llmtwin_assets.corpus.reading import Listing, SourceMissingError
from llmtwin_assets.corpus.warehouse import read
from llmtwin_assets_tests.corpus.sources import context

PAGE = """# Ada Writer

SubscribeSign in

Share this post

#### On Copper

ada.example.com

Copy link

Facebook

Email

Note

Other

# On Copper

### A subtitle

Ada Writer

Mar 27, 2024

12

Share

The first paragraph.

    code = "kept"

Share prices rose.

Share this post

#### On Copper

ada.example.com

Copy link

Facebook

#### Discussion about this post

Comments

A reader says something.

© 2024 Ada Writer
"""


def record(number: int, name: str = "Ada Writer", content=None) -> dict:
    return {
        "_id": f"id-{number}",
        "author_full_name": name,
        "platform": "ada.example.com",
        "link": f"https://ada.example.com/p/{number}",
        "content": content or {"Title": "On Copper - Ada Writer", "Content": PAGE},
    }


def export(folder: Path, **files: list) -> Path:
    for name, records in files.items():
        (folder / f"{name}.json").write_text(json.dumps(records), "utf-8")
    return folder


def listed(root: Path, **options) -> Listing:
    source, listing = WarehouseSource(type="warehouse", path=str(root), **options), Listing()
    read(source, context(), listing)
    return listing


def test_an_article_comes_without_the_page_around_it(tmp_path: Path) -> None:
    (document,) = listed(export(tmp_path, ArticleDocument=[record(1)])).documents
    assert document.title == "On Copper"
    assert document.published == date(2024, 3, 27)
    assert document.url == "https://ada.example.com/p/1"
    assert document.text.startswith("### A subtitle")
    assert '    code = "kept"' in document.text
    assert document.text.endswith("Share prices rose.")
    for chrome in ("Facebook", "Subscribe", "reader", "©", "Ada Writer", "\n12\n"):
        assert chrome not in document.text


def test_only_the_named_author_is_taken(tmp_path: Path) -> None:
    export(tmp_path, ArticleDocument=[record(1), record(2, "Bob Other")])
    assert len(listed(tmp_path).documents) == 1
    (document,) = listed(tmp_path, full_name="Bob Other").documents
    assert document.external_id == "id-2"
    with pytest.raises(SourceMissingError, match="no record in it is by 'Nobody'"):
        listed(tmp_path, full_name="Nobody")


def test_posts_and_repositories_keep_their_text_whole(tmp_path: Path) -> None:
    export(
        tmp_path,
        PostDocument=[record(1, content={"Post": "A short post."})],
        RepositoryDocument=[record(2, content={"a.py": "def f():\n    return 1\n", "b.md": "B"})],
    )
    post, repository = listed(tmp_path).documents
    assert (post.kind, post.text) == ("post", "A short post.")
    assert repository.kind == "repository"
    assert "def f():\n    return 1" in repository.text


def test_a_broken_record_loses_no_other(tmp_path: Path) -> None:
    export(tmp_path, ArticleDocument=["not a record", record(1), {"content": None}])
    listing = listed(tmp_path)
    assert len(listing.documents) == 1
    assert sorted(listing.quarantined) == ["ArticleDocument.json#0", "ArticleDocument.json#2"]


@pytest.mark.parametrize("content", ["{", '{"a": 1}'])
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "ArticleDocument.json").write_text(content)
    with pytest.raises(SourceMissingError, match=r"ArticleDocument\.json"):
        listed(tmp_path)


def test_an_importing_twice_gives_the_same_ids(tmp_path: Path) -> None:
    export(tmp_path, ArticleDocument=[record(1), record(2)])
    assert [d.id for d in listed(tmp_path).documents] == [d.id for d in listed(tmp_path).documents]
