from pathlib import Path

import pytest

from llmtwin_assets.authors import UrlSource
from llmtwin_assets.corpus import crawl
from llmtwin_assets.corpus.crawl import NotASourceError, PlatformRefusedError, dispatch
from llmtwin_assets_tests.corpus.online import Online
from llmtwin_assets_tests.corpus.test_feeds import item, rss, xml
from llmtwin_assets_tests.corpus.test_sites import article, html, urlset
from llmtwin_assets_tests.git_server import GitSite, Work
from llmtwin_assets_tests.website import Page, Website
from resources.errors import LlmTwinError


def routed(url: str) -> tuple[str, str]:
    found = dispatch(UrlSource(url=url))
    return found.type, getattr(found, "url", None) or found.urls[0]


@pytest.mark.parametrize(
    ("url", "kind", "leads"),
    [
        ("https://medium.com/@ada", "feed", "https://medium.com/feed/@ada"),
        ("https://medium.com/the-engine", "feed", "https://medium.com/feed/the-engine"),
        ("https://ada.medium.com", "feed", "https://ada.medium.com/feed"),
        ("https://medium.com/@ada/on-0123456789ab", "page", None),
        ("https://ada.medium.com/on-0123456789ab", "page", None),
        ("https://ada.substack.com", "site", "https://ada.substack.com/sitemap.xml"),
        ("https://ada.substack.com/archive", "site", "https://ada.substack.com/sitemap.xml"),
        ("https://ada.substack.com/feed", "feed", None),
        ("https://ada.substack.com/p/engines", "page", None),
        (
            "https://open.substack.com/pub/ada/p/engines?r=1",
            "page", "https://ada.substack.com/p/engines",
        ),
        ("https://github.com/ada/engine", "repository", "https://github.com/ada/engine.git"),
        ("https://www.github.com/ada/engine/tree/main/src", "repository",
         "https://github.com/ada/engine.git"),
        ("https://gist.github.com/ada/0123456789abcdef0123456789abcdef", "repository",
         "https://gist.github.com/0123456789abcdef0123456789abcdef.git"),
        ("https://gitlab.com/a/b/c/-/tree/main", "repository", "https://gitlab.com/a/b/c.git"),
        ("https://codeberg.org/ada/engine.git", "repository", None),
        ("https://git.example.org/ada/engine.git", "repository", None),
        ("https://ada.github.io/", "site", None),
        ("https://docs.github.com/en/x", "page", None),
        ("https://ada.example/", "site", None),
        ("https://ada.example", "site", None),
        ("https://ada.example/sitemap.xml", "site", None),
        ("https://ada.example/feed.xml", "feed", None),
        ("https://ada.example/blog/feed/", "feed", None),
        ("https://ada.example/blog/on-engines", "page", None),
        # What only looks like a platform, in parts of an address that say nothing of the host.
        ("https://ada.example/medium.com/@ada", "page", None),
        ("https://medium.com.ada.example/@ada", "page", None),
        ("https://notmedium.com/@ada", "page", None),
        ("https://ada.example/?u=https://www.linkedin.com/in/ada", "site", None),
        ("https://ada.example/x#https://linkedin.com/", "page", None),
        ("https://github.com.evil.example/ada/engine", "page", None),
    ],
)  # fmt: skip
def test_an_address_is_dispatched_by_its_host(url: str, kind: str, leads: str | None) -> None:
    assert routed(url) == (kind, leads or url)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.linkedin.com/in/ada",
        "https://linkedin.com/posts/ada_engines-123",
        "https://LINKEDIN.com/in/ada",
        "https://de.linkedin.com./in/ada",
        "https://lnkd.in/abc",
    ],
)
def test_a_linkedin_address_explains_how_to_get_the_archive(url: str) -> None:
    with pytest.raises(PlatformRefusedError, match=r"copy of your data.*archive"):
        routed(url)


def test_other_platforms_that_forbid_crawling_are_refused() -> None:
    for url in ("https://x.com/ada", "https://twitter.com/ada/status/1", "https://t.co/x"):
        with pytest.raises(PlatformRefusedError, match="archive of your data"):
            routed(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/ada",
        "https://github.com/",
        "https://github.com/orgs/ada",
        "https://medium.com/",
        "https://medium.com/tag/engines",
        "https://substack.com/@ada",
    ],
)
def test_an_address_without_writing_says_what_to_name(url: str) -> None:
    with pytest.raises(NotASourceError, match="Name"):
        routed(url)


def test_an_address_that_programs_read_differently_is_refused() -> None:
    for url in ("https://medium.com\\@linkedin.com/in/ada", "https://127.1/x"):
        with pytest.raises(LlmTwinError):
            dispatch(UrlSource.model_construct(url=url, licence=None))


def test_what_is_at_an_address_is_read(tmp_path: Path) -> None:
    with Website({"/1": article(1), "/about": html("<p>nothing</p>")}) as site:
        site.pages |= {
            "/sitemap.xml": urlset(site, "/1"),
            "/feed.xml": xml(rss(item("engines"))),
        }
        for path, titles in (
            ("/", ["Piece 1"]), ("/1", ["Piece 1"]), ("/feed.xml", ["On engines"]),
        ):  # fmt: skip
            online = Online(tmp_path / titles[0] / str(len(path)), site)
            source = UrlSource(url=site.url(path), licence="CC0-1.0")
            online.read(crawl, source)
            assert online.titles() == titles
            assert {d.licence for d in online.documents.values()} == {"CC0-1.0"}
            assert crawl.fingerprint(source, online.context())
            assert online.read(crawl, source, kind="post").listed == set()


def test_a_repository_at_an_address_is_read(tmp_path: Path) -> None:
    work = Work(tmp_path / "work")
    commit = work.commit(a_dot_py="x = 1\n")
    with GitSite(tmp_path / "served") as site:
        online = Online(tmp_path, site)
        source = UrlSource(url=site.publish(work))
        online.read(crawl, source)
        assert online.titles() == ["a.py"]
        assert crawl.fingerprint(source, online.context()).endswith(commit)


def test_a_platform_that_turns_a_reader_away_says_what_else_there_is(tmp_path: Path) -> None:
    said = pytest.raises(Exception, match=r"403.*archive or a feed")
    with Website({"/feed.xml": Page("", 403)}) as site, said:
        Online(tmp_path, site).read(crawl, UrlSource(url=site.url("/feed.xml")))
