import random
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from llmtwin_assets.authors import FeedSource
from llmtwin_assets.corpus import articles, feeds
from llmtwin_assets.corpus.feeds import UnreadableFeedError, is_cut
from llmtwin_assets.corpus.reading import SourceMissingError
from llmtwin_assets_tests.corpus.online import Online
from llmtwin_assets_tests.website import Page, Website, canary
from llmtwin_assets_tests.writing import paragraph

WORDS = paragraph(random.Random(7))
OTHER = paragraph(random.Random(8), sentences=30)


def rss(*items: str, head: str = "") -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>{head}
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:atom="http://www.w3.org/2005/Atom">
<channel><title>Ada's Blog</title><link>https://ada.example/</link><language>en-us</language>
{"".join(items)}</channel></rss>"""


def item(
    name: str = "engines", content: str | None = f"<p>{WORDS}</p>", more: str = "", link: str = ""
) -> str:
    encoded = f"<content:encoded><![CDATA[{content}]]></content:encoded>" if content else ""
    return f"""<item><title>On {name}</title><link>{link or f"https://ada.example/{name}"}</link>
<guid isPermaLink="false">id-{name}</guid><pubDate>Tue, 05 Mar 2024 23:30:00 -0200</pubDate>
<description>A summary of {name} […]</description>{encoded}{more}</item>"""


def atom(entries: str, more: str = "") -> str:
    return f"""<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" {more}>
<title>Ada</title><id>urn:feed</id><updated>2024-03-05T10:00:00Z</updated>{entries}</feed>"""


def source(site: Website, path: str = "/feed", **options) -> FeedSource:
    return FeedSource(type="feed", url=site.url(path), **options)


def xml(text: str, **headers: str) -> Page:
    return Page(text, headers={"Content-Type": "application/rss+xml", **headers})


def test_an_entry_with_its_content_is_a_document(tmp_path: Path) -> None:
    content = (
        f"<h1>On engines</h1><h2>Part</h2><p>{WORDS} <em>So</em> <a href='/x'>it</a> is.</p>"
        "<pre><code class='language-python'>a  =  1\n\n    b</code></pre><script>no()</script>"
    )
    with Website({"/feed": xml(rss(item("engines", content)))}) as site:
        online = Online(tmp_path, site)
        listing = online.read(feeds, source(site, licence="CC-BY-4.0"))
        (document,) = online.documents.values()
        assert site.asked("/engines") == 0
    assert document.title == "On engines"
    assert document.text == (
        f"## Part\n\n{WORDS} *So* [it](https://ada.example/x) is.\n\n"
        "```python\na  =  1\n\n    b\n```"
    )
    assert document.url == "https://ada.example/engines"
    assert (document.source, document.kind, document.external_id) == ("feed", "article",
                                                                     "id-engines")  # fmt: skip
    assert document.published.isoformat() == "2024-03-06"  # UTC
    assert document.created.isoformat() == "2024-03-06T01:30:00+00:00"
    assert (document.licence, document.visibility, document.language) == (
        "CC-BY-4.0", "public", "en",
    )  # fmt: skip
    assert document.fetched == online.now
    assert len(document.raw_hash) == 32
    assert not listing.complete


def test_links_are_relative_to_the_base_that_the_feed_names(tmp_path: Path) -> None:
    entry = f"""<entry xml:base="posts/"><title type="html">On &lt;b&gt;x&lt;/b&gt; &amp;amp; y
</title><id>urn:1</id><link href="one.html"/><updated>2024-03-05T10:00:00Z</updated>
<content type="xhtml" xml:base="deep/"><div xmlns="http://www.w3.org/1999/xhtml">
<p>{WORDS} <a href="two.html">next</a></p></div></content></entry>"""
    feed = atom(entry, 'xml:base="https://ada.example/blog/"')
    with Website({"/feed": xml(feed)}) as site:
        online = Online(tmp_path, site)
        online.read(feeds, source(site))
        (document,) = online.documents.values()
    assert document.title == "On x & y"
    assert document.url == "https://ada.example/blog/posts/one.html"
    assert "[next](https://ada.example/blog/posts/deep/two.html)" in document.text


def article(text: str, head: str = "") -> Page:
    html = f"<html><head><title>x</title>{head}</head><body><article><h1>On engines</h1>"
    body = f"{html}<p>{text}</p><p>{OTHER}</p></article></body></html>"
    return Page(body, headers={"Content-Type": "text/html; charset=utf-8"})


def test_a_summary_leads_to_its_page(tmp_path: Path) -> None:
    with Website({}) as site:
        link = site.url("/engines")
        cut = f"<p>{WORDS}</p><p><a href='{link}'>Continue reading →</a></p>"
        site.pages["/feed"] = xml(rss(item("engines", None, link=link)))
        site.pages["/cut"] = xml(rss(item("engines", cut, link=link)))
        site.pages["/engines"] = article("The page itself is here to be read by all of us.")
        for path in ("/feed", "/cut"):
            online = Online(tmp_path / path[1:], site)
            online.read(feeds, source(site, path))
            (document,) = online.documents.values()
            assert document.text.startswith("The page itself")
            assert "Continue" not in document.text
            assert document.published.isoformat() == "2024-03-06"
            assert document.external_id == "id-engines"


def test_how_a_summary_ends() -> None:
    for html in (
        "<p>It begins [&hellip;]</p>", "<p>It begins...</p>", "<p>x</p><a href=y>Read more</a>",
        "<p>x</p><p><a href=y>Continue reading on Medium »</a></p>", "x <a href=y>More…</a>",
        "<p>x</p><p><a href=y>Weiterlesen »</a></p>",
    ):  # fmt: skip
        assert is_cut(html), html
    for html in (
        "<p>It ends.</p>", "<p>I want more</p>", "<p>See <a href=y>the other piece</a></p>",
        "<p><a href=y>Read more</a> about it here.</p>", f"<p>{OTHER}…</p>" * 3, "",
    ):  # fmt: skip
        assert not is_cut(html), html


def test_a_page_of_a_summary_that_fails_loses_no_other_entry_and_is_tried_again(
    tmp_path: Path,
) -> None:
    with Website({}) as site:
        pages = [item(name, None, link=site.url(f"/{name}")) for name in ("a", "b")]
        site.pages |= {"/feed": xml(rss(*pages)), "/a": article("First."), "/b": Page("", 500)}
        online = Online(tmp_path, site)
        listing = online.read(feeds, source(site))
        assert online.titles() == ["On a"]
        assert "500" in listing.quarantined[site.url("/b")]
        site.pages["/b"] = article("Second.")
        online.later(days=2)
        online.read(feeds, source(site))
        assert online.titles() == ["On a", "On b"]


def test_a_summary_on_another_site_is_left_out(tmp_path: Path) -> None:
    with canary() as bird:
        link = f"http://127.0.0.1:{bird.port}/x"
        with Website({"/feed": xml(rss(item("x", None, link=link)))}) as site:
            online = Online(tmp_path, site)
            listing = online.read(feeds, source(site))
        assert list(listing.left_out) == ["a summary of something on another site"]
        assert bird.connections == 0


def test_a_feed_that_leads_to_private_addresses_reaches_none(tmp_path: Path) -> None:
    """Even when they are on what counts as the feed's own site: the guard has the last word."""
    with canary() as bird, Website({}) as site:
        there = f"http://127.0.0.1:{bird.port}"
        site.pages["/feed"] = Page(status=302, headers={"Location": f"{there}/feed"})
        site.pages["/list"] = xml(rss(item("x", None, link=site.url("/x"))))
        site.pages["/x"] = Page(status=302, headers={"Location": f"{there}/x"})
        online = Online(tmp_path, site)
        with pytest.raises(Exception, match="not on the public internet"):
            online.read(feeds, source(site))
        listing = online.read(feeds, source(site, "/list"))
        assert "not on the public internet" in listing.quarantined[site.url("/x")]
        assert bird.connections == 0


def test_entries_by_others_or_with_others_are_not_the_authors(tmp_path: Path) -> None:
    items = [
        item("mine", more="<dc:creator>Ada Writer</dc:creator>"),
        item("handle", more="<dc:creator>@adaw</dc:creator>"),
        item("unsigned"),
        item("guest", more="<dc:creator>Charles Guest</dc:creator>"),
        item("both", more="<dc:creator>Ada Writer and Charles Guest</dc:creator>"),
    ]
    with Website({"/feed": xml(rss(*items))}) as site:
        online = Online(tmp_path, site)
        online.author = online.author.model_copy(update={"bylines": ("adaw",)})
        listing = online.read(feeds, source(site))
        assert online.titles() == ["On handle", "On mine", "On unsigned"]
        assert sum(listing.left_out.values()) == 2


def test_a_feed_that_is_all_by_others_says_whose_it_is(tmp_path: Path) -> None:
    guest = item("guest", more="<dc:creator>admin</dc:creator>")
    said = pytest.raises(SourceMissingError, match=r"others: admin.*bylines")
    with Website({"/feed": xml(rss(guest))}) as site, said:
        Online(tmp_path, site).read(feeds, source(site))


def test_pieces_for_payers_need_consent_and_more_than_their_beginning(tmp_path: Path) -> None:
    wall = '<script type="application/ld+json">{"@type":"Article","isAccessibleForFree":false}'
    with Website({}) as site:
        items = [item(name, None, link=site.url(f"/{name}")) for name in ("whole", "preview")]
        site.pages["/feed"] = xml(rss(*items))
        site.pages["/whole"] = article(WORDS, f"{wall}</script>")
        site.pages["/preview"] = Page(
            f"<html><head>{wall}</script></head><body><article><p>{WORDS}</p></article></body>",
            headers={"Content-Type": "text/html"},
        )
        without = Online(tmp_path / "a", site)
        listing = without.read(feeds, source(site))
        assert without.documents == {}
        assert listing.left_out == {"for members or payers, without consent": 2}
        online = Online(tmp_path / "b", site)
        listing = online.read(feeds, source(site, consent="paid"))
        (document,) = online.documents.values()
        assert (document.title, document.visibility, document.consent) == (
            "On whole", "paid", "paid",
        )  # fmt: skip
        assert "only its beginning is public" in listing.quarantined[site.url("/preview")]


def conditional(text: str, tag: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        same = handler.headers.get("If-None-Match") == tag
        page = Page("", 304) if same else xml(text, ETag=tag)
        Website.answer(handler, page)

    return answer


def test_a_feed_with_nothing_new_costs_one_conditional_request(tmp_path: Path) -> None:
    with Website({"/feed": conditional(rss(item("a"), item("b")), '"1"')}) as site:
        online = Online(tmp_path, site)
        online.read(feeds, source(site))
        before = len(site.seen)
        listing = online.read(feeds, source(site))
        assert listing.unchanged
        assert not listing.listed | listing.unread
        assert [seen.path for seen in site.seen[before:]] == ["/feed"]
        assert site.seen[-1].headers["if-none-match"] == '"1"'
        site.pages["/feed"] = conditional(rss(item("b"), item("c")), '"2"')
        listing = online.read(feeds, source(site))
        assert len(listing.listed) == 1  # c is new, b as it was, a has left the feed and stays
        assert online.titles() == ["On a", "On b", "On c"]


def test_another_importer_or_other_bylines_read_the_feed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Website({"/feed": conditional(rss(item("a")), '"1"')}) as site:
        online = Online(tmp_path, site)
        online.read(feeds, source(site))
        monkeypatch.setattr(feeds, "IMPORTER", "feed-2")
        assert len(online.read(feeds, source(site)).listed) == 1
        online.author = online.author.model_copy(update={"bylines": ("adaw",)})
        listing = online.read(feeds, source(site))
        assert not listing.unchanged


def test_another_reader_of_pages_reads_those_of_summaries_again_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Website({"/engines": article("The page itself.")}) as site:
        entries = rss(item("whole"), item("engines", None, link=site.url("/engines")))
        site.pages["/feed"] = conditional(entries, '"1"')
        online = Online(tmp_path, site)
        assert len(online.read(feeds, source(site)).listed) == 2
        before = feeds.fingerprint(source(site), online.context())
        monkeypatch.setattr(articles, "IMPORTER", "page-2")
        assert feeds.fingerprint(source(site), online.context()) != before
        listing = online.read(feeds, source(site))
        assert (len(listing.listed), len(listing.unread)) == (1, 1)
        assert {online.documents[id_].importer for id_ in listing.listed} == {"page-2"}
        assert site.asked("/engines") == 1  # it is still known


def test_an_edited_entry_is_another_version_of_the_same_document(tmp_path: Path) -> None:
    with Website({"/feed": xml(rss(item("a", f"<p>{WORDS}</p>")))}) as site:
        online = Online(tmp_path, site)
        online.read(feeds, source(site))
        site.pages["/feed"] = xml(rss(item("a", f"<p>{WORDS} And this.</p>")))
        online.read(feeds, source(site))
        (document,) = online.documents.values()
        assert document.text.endswith("And this.")


@pytest.mark.parametrize(
    "encoded",
    [
        rss(item("ä")).encode("utf-8"),
        rss(item("ä")).replace("UTF-8", "windows-1252").encode("cp1252"),
        rss(item("ä")).replace("UTF-8", "utf-16").encode("utf-16"),
        rss(item("ä\x0b")).encode("utf-8"),
    ],
)
def test_a_feed_in_any_encoding(tmp_path: Path, encoded: bytes) -> None:
    page = Page(encoded, headers={"Content-Type": "text/xml"})
    with Website({"/feed": page}) as site:
        online = Online(tmp_path, site)
        online.read(feeds, source(site))
        assert online.titles() == ["On ä"]


LAUGHS = "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1};" * 10 if n else "lol"}">' for n in range(10))


@pytest.mark.parametrize(
    "feed",
    [
        rss(item("&lol9;"), head=f"<!DOCTYPE rss [{LAUGHS}]>"),
        rss(item("&x;"), head='<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        rss(item("x"), head='<!DOCTYPE rss [<!ENTITY % x SYSTEM "http://127.0.0.1/x"> %x;]>'),
        rss(item("&lol9;"), head=f"<!DOCTYPE rss [{LAUGHS}]>").encode("utf-16"),
        rss(item("&lol9;"), head=f"<!DOCTYPE rss [{LAUGHS}]>").encode("utf-16-be"),
        rss(item("a"), head="<!doctype rss [<!entity a 'b'>]>"),
    ],
)
def test_entities_are_refused_before_they_are_parsed(tmp_path: Path, feed: str | bytes) -> None:
    page = Page(feed, headers={"Content-Type": "application/xml"})
    with Website({"/feed": page}) as site, pytest.raises(UnreadableFeedError, match="entities"):
        Online(tmp_path, site).read(feeds, source(site))


def test_the_old_doctype_of_rss_is_read(tmp_path: Path) -> None:
    head = '<!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://127.0.0.1:9/rss.dtd">'
    with Website({"/feed": xml(rss(item("a"), head=head))}) as site:
        online = Online(tmp_path, site)
        online.read(feeds, source(site))
        assert online.titles() == ["On a"]


def test_an_entry_nested_beyond_reason_loses_no_other(tmp_path: Path) -> None:
    items = [item("deep", "<div>" * 100_000 + "x"), item("fine")]
    with Website({"/feed": xml(rss(*items))}) as site:
        online = Online(tmp_path, site)
        listing = online.read(feeds, source(site))
        assert online.titles() == ["On fine"]
        assert "nested" in listing.quarantined["https://ada.example/deep"]


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (
            "<html><head><link rel=alternate type=application/rss+xml href=/real></head></html>",
            "text/html", "it is a page, not a feed. It names the feed http",
        ),
        ("<html></html>", "text/html", "Use it as a 'site'"),
        ("<xml></xml>", "application/xml", "neither RSS nor Atom"),
        ("", "application/xml", "neither RSS nor Atom"),
    ],
)  # fmt: skip
def test_what_is_no_feed_says_what_to_do(tmp_path: Path, body: str, kind: str, why: str) -> None:
    page = Page(body, headers={"Content-Type": kind})
    with Website({"/feed": page}) as site, pytest.raises(UnreadableFeedError, match=why):
        Online(tmp_path, site).read(feeds, source(site))


def test_a_feed_that_fails_is_a_failure_and_not_an_empty_feed(tmp_path: Path) -> None:
    with Website({"/feed": Page("", 503)}) as site, pytest.raises(Exception, match="503"):
        Online(tmp_path, site).read(feeds, source(site))


def test_the_fingerprint_changes_with_the_feed_and_asks_every_ten_minutes(
    tmp_path: Path,
) -> None:
    with Website({"/feed": conditional(rss(item("a")), '"1"')}) as site:
        online = Online(tmp_path, site)

        def look() -> str:
            return feeds.fingerprint(source(site), online.context())

        first = look()
        assert look() == first
        assert site.asked("/feed") == 1
        online.later(minutes=16)
        assert look() == first
        assert site.seen[-1].headers["if-none-match"] == '"1"'
        site.pages["/feed"] = conditional(rss(item("b")), '"2"')
        online.later(minutes=16)
        assert look() != first
