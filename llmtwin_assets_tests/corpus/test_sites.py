import gzip
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmtwin_assets.authors import PageSource, SiteSource
from llmtwin_assets.corpus import sites
from llmtwin_assets.corpus.reading import SourceMissingError
from llmtwin_assets.corpus.sitemaps import UnreadableSitemapError, parse
from llmtwin_assets.settings import PROJECT
from llmtwin_assets_tests.corpus.online import Online
from llmtwin_assets_tests.website import Page, Website, canary
from llmtwin_assets_tests.writing import paragraph
from resources.hosts import HostBusyError
from resources.polite import DisallowedError

ARTICLE = '<meta property="og:type" content="article">'


def html(text: str, **headers: str) -> Page:
    return Page(text, headers={"Content-Type": "text/html; charset=utf-8", **headers})


def article(number: int, body: str = "", head: str = ARTICLE, more: str = "") -> Page:
    text = paragraph(random.Random(number))
    return html(
        f"<html lang=en><head><title>Piece {number}</title>{head}</head><body><nav><a href='/'>Home"
        f"</a></nav><article><h1>Piece {number}</h1>{more}<p>{text}</p><p>{body or text[::-1]}</p>"
        "</article></body></html>"
    )


def urlset(site: Website, *paths: str, **dates: str) -> Page:
    entries = "".join(
        f"<url><loc>{site.url(path) if path.startswith('/') else path}</loc>"
        + (f"<lastmod>{dates[path[1:]]}</lastmod>" if path[1:] in dates else "")
        + "</url>"
        for path in paths
    )
    return xml(f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</urlset>')


def xml(text: str | bytes) -> Page:
    return Page(text, headers={"Content-Type": "application/xml"})


def source(site: Website, path: str = "/", **options) -> SiteSource:
    return SiteSource(type="site", url=site.url(path), **options)


def test_the_articles_that_a_sitemap_lists_are_documents(tmp_path: Path) -> None:
    with Website({f"/{n}": article(n) for n in (1, 2)}) as site:
        site.pages["/about"] = html("<html><body><p>" + "about me " * 50 + "</p></body></html>")
        site.pages["/sitemap.xml"] = urlset(site, "/1", "/2", "/about", "/a.pdf")
        online = Online(tmp_path, site)
        listing = online.read(sites, source(site, licence="CC0-1.0"))
        assert online.titles() == ["Piece 1", "Piece 2"]
        assert listing.left_out == {"no article: a start page, a list, a form": 1}
        assert site.asked("/a.pdf") == 0
    document = next(d for d in online.documents.values() if d.title == "Piece 1")
    assert document.text.startswith(paragraph(random.Random(1)))
    assert (document.source, document.kind, document.licence, document.language) == (
        "site", "article", "CC0-1.0", "en",
    )  # fmt: skip
    assert document.url == site.url("/1")
    assert document.fetched == online.now


def test_an_index_names_sitemaps_packed_or_not_and_robots_txt_names_the_index(
    tmp_path: Path,
) -> None:
    with Website({f"/{n}": article(n) for n in range(4)}) as site:
        packed = gzip.compress(str(urlset(site, "/0", "/1").body).encode())
        index = "".join(f"<sitemap><loc>{site.url(p)}</loc></sitemap>" for p in ("/a.gz", "/b.txt"))
        site.pages |= {
            "/robots.txt": Page(f"Sitemap: {site.url('/index.xml')}\nUser-agent: *\nDisallow: /3"),
            "/index.xml": xml(f"<sitemapindex>{index}</sitemapindex>"),
            "/a.gz": Page(packed, headers={"Content-Type": "application/gzip"}),
            "/b.txt": Page(f"{site.url('/2')}\n{site.url('/3')}\n"),
        }
        online = Online(tmp_path, site)
        listing = online.read(sites, source(site))
        assert online.titles() == ["Piece 0", "Piece 1", "Piece 2"]
        assert site.asked("/3") == 0
        assert "robots.txt" in next(iter(listing.left_out))


def test_include_exclude_and_the_address_say_which_pages_are_wanted(tmp_path: Path) -> None:
    paths = ["/blog/1", "/blog/2", "/blog/draft-3", "/other/4", "/blogger/5"]
    with Website({path: article(int(path[-1])) for path in paths}) as site:
        site.pages["/sitemap.xml"] = urlset(site, *paths, "https://elsewhere.org/blog/6")
        online = Online(tmp_path / "a", site)
        online.read(sites, source(site, "/blog/", exclude=("*draft*",)))
        assert online.titles() == ["Piece 1", "Piece 2"]
        online = Online(tmp_path / "b", site)
        online.read(sites, source(site, "/sitemap.xml", include=("/other/*", "*draft*")))
        assert online.titles() == ["Piece 3", "Piece 4"]


def test_a_plain_page_is_an_article_when_it_is_long_and_no_list(tmp_path: Path) -> None:
    text = paragraph(random.Random(5), 30)
    teasers = "".join(f"<h2><a href='/{n}'>On {n}</a></h2><p>{text}</p>" for n in range(3))
    with Website({}) as site:
        site.pages |= {
            "/long": html(f"<html><body><h1>Long</h1><p>{text}</p></body></html>"),
            "/short": html(f"<html><body><h1>Short</h1><p>{text[:300]}</p></body></html>"),
            "/list": html(f"<html><body><h1>List</h1>{teasers}</body></html>"),
            "/sitemap.xml": urlset(site, "/long", "/short", "/list"),
        }
        online = Online(tmp_path, site)
        listing = online.read(sites, source(site))
        assert online.titles() == ["Long"]
        assert listing.left_out == {"no article: a start page, a list, a form": 2}


def test_without_a_sitemap_links_are_followed(tmp_path: Path) -> None:
    links = "<a href='/1?utm_source=x'>one</a> <a href='/sub/'>more</a> <a href='/1#part'>again</a>"
    with Website({"/1": article(1), "/2": article(2)}) as site:
        away = "<a href='http://example.com/x'>away</a> <a href='javascript:x'>s</a>"
        site.pages["/"] = html(f"<html><body>{links} {away}</body></html>")
        site.pages["/sub/"] = html("<html><body><a href='../2'>two</a><a href=/x.zip>z</a></body>")
        online = Online(tmp_path, site)
        online.read(sites, source(site))
        assert online.titles() == ["Piece 1", "Piece 2"]
        assert site.asked("/1") == 1
        assert site.asked("/x.zip") == 0


def test_pages_by_others_and_for_payers_are_left_out(tmp_path: Path) -> None:
    def signed(name: str) -> str:
        data = {"@type": "BlogPosting", "author": {"@type": "Person", "name": name}}
        return f'<script type="application/ld+json">{json.dumps(data)}</script>'

    wall = '<div class="paywall">Subscribe to read on</div>'
    with Website({}) as site:
        site.pages |= {
            "/1": article(1, head=signed("Ada Writer")),
            "/2": article(2, head=signed("Charles Guest")),
            "/3": article(3, more='<p class="byline">By Charles Guest · 5 min read</p>'),
            "/4": article(4, more='<p class="byline">By Ada Writer · 5 min read</p>'),
            "/5": article(5, more=wall),
            "/sitemap.xml": urlset(site, *(f"/{n}" for n in range(1, 6))),
        }
        online = Online(tmp_path, site)
        listing = online.read(sites, source(site))
        assert online.titles() == ["Piece 1", "Piece 4"]
        assert listing.left_out == {
            "written by others, or with others": 2,
            "for members or payers, without consent": 1,
        }


def test_a_page_that_fails_is_quarantined_and_keeps_what_was_stored(tmp_path: Path) -> None:
    with Website({f"/{n}": article(n) for n in (1, 2)}) as site:
        site.pages["/sitemap.xml"] = urlset(site, "/1", "/2")
        online = Online(tmp_path, site)
        online.read(sites, source(site))
        online.later(days=2)
        site.pages["/2"] = Page("", 500)
        listing = online.read(sites, source(site))
        assert "500" in listing.quarantined[site.url("/2")]
        assert online.titles() == ["Piece 1", "Piece 2"]


def test_a_page_that_is_gone_is_not_listed(tmp_path: Path) -> None:
    with Website({f"/{n}": article(n) for n in (1, 2)}) as site:
        site.pages["/sitemap.xml"] = urlset(site, "/1", "/2")
        online = Online(tmp_path, site)
        online.read(sites, source(site))
        site.pages["/2"] = Page("", 410)
        online.later(days=2)
        listing = online.read(sites, source(site))
        assert listing.left_out == {"no longer there": 1}
        assert online.titles() == ["Piece 1"]


@pytest.mark.parametrize("broken", [Page("", 500), xml("<urlset>"), xml("<html></html>")])
def test_a_sitemap_that_fails_is_a_failure_and_not_an_empty_site(
    tmp_path: Path, broken: Page
) -> None:
    with Website({"/1": article(1)}) as site:
        index = f"<sitemapindex><sitemap><loc>{site.url('/a.xml')}</loc></sitemap></sitemapindex>"
        site.pages |= {"/sitemap.xml": xml(index), "/a.xml": broken}
        with pytest.raises(Exception, match=r"500|not XML|not a sitemap"):
            Online(tmp_path, site).read(sites, source(site))


def test_a_site_without_one_article_of_the_author_says_what_there_is(tmp_path: Path) -> None:
    byline = '<p class="byline">By Somebody Else</p>'
    with Website({"/1": article(1, more=byline)}) as site:
        site.pages["/sitemap.xml"] = urlset(site, "/1")
        with pytest.raises(SourceMissingError, match=r"1 written by others.*bylines"):
            Online(tmp_path, site).read(sites, source(site))


def test_a_site_as_it_was_is_asked_for_its_sitemap_and_nothing_else(tmp_path: Path) -> None:
    with Website({f"/{n}": article(n) for n in (1, 2, 3)}) as site:
        dates = {"1": "2025-01-01", "2": "2025-01-01T10:00:00Z", "3": "2025-01-01"}
        site.pages["/sitemap.xml"] = urlset(site, "/1", "/2", "/3", **dates)
        online = Online(tmp_path, site)
        online.read(sites, source(site))
        for days in (1, 30):
            online.later(days=days)
            before = len(site.seen)
            assert online.read(sites, source(site)).unchanged
            assert [seen.path for seen in site.seen[before:]] == ["/sitemap.xml"]
        # One page is dated anew, one has gone, one has come.
        site.pages |= {"/2": article(22), "/4": article(4)}
        dates = {**dates, "2": online.now.isoformat(), "4": "2025-01-01"}
        site.pages["/sitemap.xml"] = urlset(site, "/2", "/3", "/4", **dates)
        before = len(site.seen)
        online.later(minutes=1)
        online.read(sites, source(site))
        assert online.titles() == ["Piece 22", "Piece 3", "Piece 4"]
        assert [seen.path for seen in site.seen[before:]] == ["/sitemap.xml", "/2", "/4"]


def test_pages_that_no_sitemap_dates_are_asked_for_once_a_day_if_they_changed(
    tmp_path: Path,
) -> None:
    def conditional(handler) -> None:
        same = handler.headers.get("If-Modified-Since") == "then"
        page = article(1)
        page.headers["Last-Modified"] = "then"
        Website.answer(handler, Page("", 304) if same else page)

    with Website({"/1": conditional}) as site:
        site.pages["/sitemap.xml"] = urlset(site, "/1")
        online = Online(tmp_path, site)
        online.read(sites, source(site))
        online.later(hours=1)
        assert online.read(sites, source(site)).unchanged
        assert site.asked("/1") == 1
        online.later(days=1)
        listing = online.read(sites, source(site))
        assert site.asked("/1") == 2
        assert site.seen[-1].headers["if-modified-since"] == "then"
        assert (len(listing.unread), len(listing.listed)) == (1, 0)


def test_another_importer_reads_the_pages_again_without_asking_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Website({"/1": article(1)}) as site:
        site.pages["/sitemap.xml"] = urlset(site, "/1", **{"1": "2025-01-01"})
        online = Online(tmp_path, site)
        online.read(sites, source(site))
        monkeypatch.setattr("llmtwin_assets.corpus.articles.IMPORTER", "page-2")
        monkeypatch.setattr(sites, "IMPORTER", "page-2")
        listing = online.read(sites, source(site))
        assert len(listing.listed) == 1
        assert site.asked("/1") == 1


def test_single_pages(tmp_path: Path) -> None:
    with Website({"/1": article(1, head=""), "/pdf": Page(b"%PDF", headers={"Content-Type":
                  "application/pdf"})}) as site:  # fmt: skip
        urls = [site.url(path) for path in ("/1", "/pdf", "/gone")]
        pages = PageSource(type="page", urls=urls, kind="post", licence="mine")
        online = Online(tmp_path, site)
        listing = online.read(sites, pages)
        (document,) = online.documents.values()
        assert (document.title, document.kind, document.source) == ("Piece 1", "post", "page")
        assert "application/pdf" in listing.quarantined[site.url("/pdf")]
        assert listing.left_out == {"no longer there": 1}
        assert online.read(sites, pages, kind="article").listed == set()


SCRIPTED = """<html><body><div id=root></div><script>
fetch('/data').then(r => r.text()).then(t => { document.getElementById('root').innerHTML = t; });
</script></body></html>"""


def test_a_page_whose_text_comes_by_script_needs_a_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMTWIN_BROWSER", str(tmp_path / "nothing"))
    with Website({"/": html(SCRIPTED)}) as site:
        pages = PageSource(type="page", urls=[site.url()])
        (reason,) = Online(tmp_path, site).read(sites, pages).quarantined.values()
        assert "put there by a script" in reason
        assert "LLMTWIN_BROWSER" in reason


@pytest.mark.slow
def test_a_page_whose_text_comes_by_script_is_read_with_a_browser(tmp_path: Path) -> None:
    with Website({"/": html(SCRIPTED)}) as site:
        data = article(1).body
        site.pages["/data"] = Page(data, headers={"Content-Type": "text/plain"})
        pages = PageSource(type="page", urls=[site.url()])
        online = Online(tmp_path, site)
        online.read(sites, pages)
        (document,) = online.documents.values()
        assert document.title == "Piece 1"
        assert document.text.startswith(paragraph(random.Random(1)))
        online.known = {}
        online.read(sites, pages)
        assert site.asked("/data") == 1


def test_a_page_says_its_own_address_and_not_anothers(tmp_path: Path) -> None:
    def canonical(url: str) -> str:
        return f'{ARTICLE}<link rel="canonical" href="{url}">'

    with Website({}) as site:
        site.pages |= {
            "/1?x=1": article(1, head=canonical("/one")),
            "/2": article(2, head=canonical("https://victim.org/two")),
            "/sitemap.xml": urlset(site, "/1?x=1", "/2"),
        }
        online = Online(tmp_path, site)
        online.read(sites, source(site))
        assert {d.url for d in online.documents.values()} == {site.url("/one"), site.url("/2")}


def test_no_sitemap_page_or_redirect_reaches_a_private_address(tmp_path: Path) -> None:
    with canary() as bird, Website({"/1": article(1)}) as site:
        private = f"http://127.0.0.1:{bird.port}"
        site.pages |= {
            "/robots.txt": Page(f"Sitemap: {private}/s.xml\nSitemap: {site.url('/s.xml')}"),
            "/s.xml": urlset(site, "/1", "/2", f"{private}/3", f"http://[::1]:{bird.port}/4"),
            "/2": Page(status=301, headers={"Location": f"{private}/2"}),
        }
        online = Online(tmp_path, site)
        listing = online.read(sites, source(site))
        assert online.titles() == ["Piece 1"]
        assert "not on the public internet" in listing.quarantined[site.url("/2")]
        index = f"<sitemapindex><sitemap><loc>{private}/x.xml</loc></sitemap></sitemapindex>"
        site.pages["/s.xml"] = xml(index)
        online.later(days=1)
        with pytest.raises(Exception, match="not on the public internet"):
            online.read(sites, source(site))
        assert bird.connections == 0


def test_a_site_closed_by_robots_txt_is_not_read(tmp_path: Path) -> None:
    rules = Page("User-agent: *\nDisallow: /")
    with Website({"/robots.txt": rules, "/": article(1)}) as site:
        with pytest.raises(SourceMissingError, match=r"robots\.txt"):
            Online(tmp_path, site).read(sites, source(site))
        listing = Online(tmp_path, site).read(sites, PageSource(type="page", urls=[site.url()]))
        assert "robots.txt" in listing.quarantined[site.url()]
        assert {seen.path for seen in site.seen} == {"/robots.txt"}
        with pytest.raises(DisallowedError):
            Online(tmp_path, site).web.get(site.url())


def test_a_host_that_stops_answering_ends_the_crawl_which_goes_on_later(tmp_path: Path) -> None:
    with Website({f"/{n}": article(n) for n in range(20)}) as site:
        paths = [f"/{n}" for n in range(20)]
        site.pages["/sitemap.xml"] = urlset(site, *paths)
        whole = dict(site.pages)
        for path in paths[8:]:
            site.pages[path] = Page(status=0)
        online = Online(tmp_path, site)
        with pytest.raises(HostBusyError, match="goes on where it stopped"):
            online.read(sites, source(site))
        site.pages = whole
        online.later(hours=1)
        online.read(sites, source(site))
        assert len(online.documents) == 15  # five are held to be broken in this crawl …
        online.later(days=1)
        online.read(sites, source(site))
        assert len(online.documents) == 20  # … and not in the next
        assert all(site.asked(path) == 2 for path in paths[:8])  # once a day


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (f"<!DOCTYPE urlset [{LAUGHS}]><urlset><url><loc>&l9;</loc></url></urlset>", "entities"),
        ('<!DOCTYPE urlset [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset/>', "entities"),
        ("<a>" * 100_000, "nested too deep"),
        ("<rss></rss>", "not a sitemap"),
        ("<urlset><url>", "not XML"),
        (b"\x1f\x8b\x08 broken", "cannot be unpacked"),
        (gzip.compress(bytes(60 * 1024 * 1024)), "unpacks to more than"),
    ],
)
def test_a_hostile_sitemap_is_refused(body: str | bytes, why: str) -> None:
    with pytest.raises(UnreadableSitemapError, match=why):
        parse(body if isinstance(body, bytes) else body.encode(), "https://x.org/s.xml")


def test_a_sitemap_in_another_encoding_or_namespace() -> None:
    body = (
        '<?xml version="1.0" encoding="utf-16"?><s:urlset xmlns:s="http://x"><s:url><s:loc> '
        "https://x.org/ä </s:loc><s:lastmod>2024-03-05</s:lastmod></s:url></s:urlset>"
    )
    (entry,) = parse(body.encode("utf-16"), "https://x.org/s.xml").pages
    assert entry.url == "https://x.org/ä"
    assert entry.changed is not None
    assert entry.day_only


def crawl(folder: Path, site: Website) -> subprocess.Popen:
    module = "llmtwin_assets_tests.corpus.a_crawl"
    arguments = [sys.executable, "-m", module, str(folder), site.host, site.url()]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=PROJECT)


@pytest.mark.slow
def test_a_crawl_of_five_hundred_pages_killed_midway_goes_on_where_it_stopped(
    tmp_path: Path,
) -> None:
    paths = [f"/{n}" for n in range(500)]
    with Website({path: article(int(path[1:])) for path in paths}) as site:
        site.pages["/sitemap.xml"] = urlset(site, *paths)
        for part in (150, 330):
            process = crawl(tmp_path, site)
            while len({seen.path for seen in site.seen}) < part:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
            process.wait()
        process = crawl(tmp_path, site)
        out, _ = process.communicate(timeout=300)
        assert json.loads(out) == {"documents": 500, "unreadable": {}}
        # The page in flight at each of the two kills was asked for again, and no other.
        again = [path for path in paths if site.asked(path) != 1]
        assert len(again) <= 2
        assert all(site.asked(path) == 2 for path in again)
