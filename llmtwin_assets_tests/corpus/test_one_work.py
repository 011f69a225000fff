"""One document per work: the same article from a feed, an archive and a tree of files, by real
readers into a real store; and what a sync costs in which nothing is new."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmtwin_assets.authors import ArchiveSource, Author, FeedSource, PageSource
from llmtwin_assets.corpus.ingest import Ingested, ShrunkenSourceError, ingest
from llmtwin_assets.corpus.reading import Context
from llmtwin_assets_tests.corpus.exports import medium_story, unpacked, zipped
from llmtwin_assets_tests.website import Page, Website, guard
from llmtwin_assets_tests.writing import paragraph
from resources.hosts import Hosts
from resources.polite import Manners, Polite
from resources.sqlite_documents import SqliteDocuments
from resources.web import Web


def essay(number: int, paragraphs: int = 6) -> list[str]:
    rng = random.Random(number)
    return [paragraph(rng) for _ in range(paragraphs)]


def html(number: int) -> str:
    return "".join(f"<p>{text}</p>" for text in essay(number))


def feed(site: Website, *numbers: int) -> Page:
    items = "".join(
        f"<item><title>Essay {n}</title><link>{site.url(f'/essay-{n}?utm_source=rss')}</link>"
        f"<guid>{site.url(f'/essay-{n}')}</guid><pubDate>Tue, 05 Mar 2024 10:00:00 +0000</pubDate>"
        f"<content:encoded><![CDATA[{html(n)}]]></content:encoded></item>"
        for n in numbers
    )
    return Page(
        '<?xml version="1.0"?><rss version="2.0" '
        'xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>Ada</title>'
        f"<link>{site.url()}</link>{items}</channel></rss>",
        headers={"Content-Type": "application/rss+xml", "ETag": f'"{numbers}"'},
    )


class Corpus:
    """An author with sources, and the store they are read into."""

    def __init__(self, home: Path, site: Website) -> None:
        self.home = home
        self.store = SqliteDocuments(home / "documents.sqlite")
        self.web = Polite(Web(guard(site)), Hosts(home / "hosts"), Manners(delay=0, backoff=0.01))
        self.moment = datetime(2026, 3, 1, tzinfo=UTC)

    def take(self, *sources, **options) -> Ingested:
        ada = Author(id="ada", name="Ada Writer", sources=sources)
        self.moment += timedelta(minutes=1)  # within one second nothing is asked for twice
        context = Context(
            ada,
            Path(),
            "article",
            web=self.web,
            cache=self.home / "cache",
            clock=lambda: self.moment,
        )
        found = ingest(self.store, context, **options)
        found.refuse_failures()
        return found

    def works(self) -> list[dict]:
        return list(self.store.documents("ada"))


@pytest.fixture
def site():
    with Website({}) as website:
        yield website


@pytest.fixture
def corpus(tmp_path: Path, site: Website) -> Corpus:
    return Corpus(tmp_path, site)


def story_of(site: Website, number: int) -> dict[str, str]:
    """A story on Medium whose home is the site."""
    id_ = f"{number:012x}"
    page = medium_story(
        f"Essay {number}", html(number), id_, canonical=site.url(f"/essay-{number}/"), tags=True
    )
    return {f"posts/2024-03-05_Essay-{id_}.html": page}


def test_an_article_of_feed_archive_and_files_is_one_document(
    corpus: Corpus, site: Website, tmp_path: Path
) -> None:
    site.pages["/feed"] = feed(site, 1, 2)
    stories = story_of(site, 1) | story_of(site, 2) | story_of(site, 3)
    archive = ArchiveSource(type="archive", path=str(zipped(tmp_path / "m.zip", stories)))
    # Files have no address at all: they are known by their text.
    files = {f"_posts/2024-03-05-e{n}.md": "\n\n".join(essay(n)) + "\n\nP.S." for n in (1, 3)}
    tree = ArchiveSource(type="archive", path=str(unpacked(tmp_path / "tree", files)))
    rss = FeedSource(type="feed", url=site.url("/feed"))
    assert len(corpus.store.hashes("ada")) == 0
    corpus.take(rss)
    first = corpus.store.hashes("ada").keys()
    found = corpus.take(rss, archive, tree)
    assert (found.inserted, found.merged) == (5, 4)
    works = corpus.works()
    assert len(works) == 3
    assert first < {work["id"] for work in works}
    by_aliases = sorted(
        (work["source"], sorted(alias["source"] for alias in work["aliases"])) for work in works
    )
    assert by_aliases == [
        ("markdown", ["feed", "medium"]),
        ("markdown", ["medium"]),
        ("medium", ["feed"]),
    ]


def test_a_sync_with_nothing_new_asks_once_with_conditions_and_writes_nothing(
    corpus: Corpus, site: Website, tmp_path: Path
) -> None:
    fresh = feed(site, *range(20))

    def conditional(handler) -> None:
        known = handler.headers.get("If-None-Match") == fresh.headers["ETag"]
        site.answer(handler, Page(b"", 304) if known else fresh)

    site.pages["/feed"] = conditional
    sources = (FeedSource(type="feed", url=site.url("/feed")),)
    assert corpus.take(*sources).inserted == 20
    files = [corpus.store.path, corpus.store.path.with_name(corpus.store.path.name + "-wal")]
    before = [file.read_bytes() if file.exists() else b"" for file in files]
    site.seen.clear()
    found = corpus.take(*sources)
    assert (found.inserted, found.updated, found.deleted, found.unchanged) == (0, 0, 0, 20)
    assert [seen.path for seen in site.seen] == ["/feed"]
    assert "if-none-match" in site.seen[0].headers
    assert [file.read_bytes() if file.exists() else b"" for file in files] == before


def test_entries_that_left_a_feed_stay(corpus: Corpus, site: Website) -> None:
    rss = FeedSource(type="feed", url=site.url("/feed"))
    for numbers in ((1, 2, 3), (3, 4, 5), (6, 7, 8)):
        site.pages["/feed"] = feed(site, *numbers)
        corpus.take(rss)
    assert len(corpus.works()) == 8


def test_a_feed_in_trouble_deletes_nothing_and_stops_no_other_source(
    corpus: Corpus, site: Website, tmp_path: Path
) -> None:
    site.pages["/feed"] = feed(site, 1, 2)
    rss = FeedSource(type="feed", url=site.url("/feed"))
    corpus.take(rss)
    site.pages["/feed"] = Page("gone", 410)
    archive = ArchiveSource(type="archive", path=str(zipped(tmp_path / "m.zip", story_of(site, 9))))
    ada = Author(id="ada", name="Ada Writer", sources=(rss, archive))
    context = Context(ada, Path(), "article", web=corpus.web, cache=corpus.home / "cache")
    found = ingest(corpus.store, context)
    assert [failure.item for failure in found.failures] == [site.url("/feed")]
    assert found.inserted == 1
    assert len(corpus.works()) == 3


def test_a_page_that_is_gone_is_a_loss_that_must_be_meant(corpus: Corpus, site: Website) -> None:
    pages = [f"/essay-{n}" for n in range(5)]
    for number, path in enumerate(pages):
        site.pages[path] = Page(
            f"<html><head><title>Essay {number}</title></head><body><article><h1>Essay {number}"
            f"</h1>{html(number)}</article></body></html>",
            headers={"Content-Type": "text/html"},
        )
    single = PageSource(type="page", urls=tuple(site.url(path) for path in pages))
    assert corpus.take(single).inserted == 5
    for path in pages[:2]:
        site.pages[path] = Page("gone", 410)
    with pytest.raises(ShrunkenSourceError, match="2 of 5"):
        corpus.take(single)
    assert len(corpus.works()) == 5
    assert corpus.take(single, allow_loss=True).deleted == 2
