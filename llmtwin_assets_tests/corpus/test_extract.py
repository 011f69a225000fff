import json
import random
import time
from datetime import UTC, datetime

import pytest

from llmtwin_assets.corpus.extract import Page, decode_html, extract
from llmtwin_assets.corpus.html_text import UnreadableHtmlError
from llmtwin_assets.corpus.page_facts import feeds_of
from llmtwin_assets_tests.writing import paragraph

URL = "https://ada.example/engines"
FIRST, SECOND, THIRD = (paragraph(random.Random(seed)) for seed in range(3))
BODY = f"""
<p>{FIRST} It has <em>emphasis</em>, <strong>strength</strong>, <code>code()</code> and
a <a href="/other">link</a>.</p>
<h2>The second part</h2>
<p>{SECOND}</p>
<ul><li>One item of the list that stands here</li><li>Another one:<ul><li>and below it one</li>
</ul></li></ul>
<ol start="3"><li>third</li><li>fourth</li></ol>
<pre><code class="language-python">def f(x):
    if x:
        return  x  *  2

    return "a &lt; b"
</code></pre>
<blockquote><p>Somebody said this, which is quoted here.</p></blockquote>
<figure><img src="a.png" alt="An engine"><figcaption>What the picture shows</figcaption></figure>
<p>{THIRD}</p>
"""
MARKDOWN = f"""
{FIRST} It has *emphasis*, **strength**, `code()` and a [link](https://ada.example/other).

## The second part

{SECOND}

- One item of the list that stands here
- Another one:
  - and below it one

3. third
4. fourth

```python
def f(x):
    if x:
        return  x  *  2

    return "a < b"
```

> Somebody said this, which is quoted here.

What the picture shows

{THIRD}
""".strip()


def page(body: str = BODY, head: str = "", title: str = "On Engines", around: str = "{}") -> str:
    content = around.replace("{}", f"<article><h1>{title}</h1>{body}</article>")
    return f"""<!DOCTYPE html><html lang="en-GB"><head><title>{title} | Ada's Blog</title>{head}
    </head><body><header><nav><a href="/">Home</a> <a href="/about">About me</a></nav></header>
    <main>{content}</main>
    <aside><h3>More to read</h3><ul><li><a href="/a">A piece about looms and cards</a></li></ul>
    </aside><footer><p>Copyright Ada. All rights are reserved here.</p></footer></body></html>"""


def read(html: str, url: str = URL) -> Page:
    return extract(html.encode(), url)


def linked(**data) -> str:
    node = {"@context": "https://schema.org", "@type": "BlogPosting", **data}
    return f'<script type="application/ld+json">{json.dumps(node)}</script>'


def test_the_content_of_a_page_keeps_its_structure_and_loses_what_is_around_it() -> None:
    assert read(page()).text == MARKDOWN


def test_the_title_is_not_repeated_in_the_text() -> None:
    assert "On Engines" not in read(page()).text
    assert read(page()).facts.title == "On Engines"


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        ('<meta property="og:title" content="On Engines">', "<h1>On Engines</h1>", "On Engines"),
        (linked(headline="On Engines"), "<h1>Ada's Blog</h1><h1>On Engines</h1>", "On Engines"),
        ("<title>On Engines - Ada's Blog</title>", "<h1>On Engines</h1>", "On Engines"),
        ("<title>On Engines | Ada's Blog</title>", "<p>x</p>", "On Engines"),
        ("", "<h1> On\n Engines </h1>", "On Engines"),
        ("", "<p>x</p>", ""),
    ],
)
def test_the_title_is_what_page_and_data_agree_on(head: str, body: str, expected: str) -> None:
    html = f"<html><head>{head}</head><body>{body}</body></html>"
    assert read(html).facts.title == expected


@pytest.mark.parametrize(
    ("head", "body", "authors", "byline"),
    [
        (linked(author={"@type": "Person", "name": "Ada  Writer"}), "", ("Ada Writer",), ""),
        (linked(author=["Ada", {"name": "Bob"}]), "", ("Ada", "Bob"), ""),
        (
            '<script type="application/ld+json">{"@graph": [{"@type": ["BlogPosting"], "author": '
            '{"@id": "#a"}}, {"@type": "Person", "@id": "#a", "name": "Ada"}]}</script>',
            "", ("Ada",), "",
        ),
        ('<meta name="author" content="Ada">', "", ("Ada",), ""),
        ('<meta property="article:author" content="https://fb.com/ada">', "", (), ""),
        ("", '<p class="byline">By Ada, March 5</p>', (), "By Ada, March 5"),
        ("", '<a rel="author" href="/ada">Ada</a>', (), "Ada"),
        ("", '<div class="comments"><b class="comment-author author">Troll</b></div>', (), ""),
        ("", '<aside><span class="author">Other</span></aside>', (), ""),
        ('<script type="application/ld+json">{broken</script>', "", (), ""),
        (f'<script type="application/ld+json">{"[" * 100_000}</script>', "", (), ""),
    ],
)  # fmt: skip
def test_bylines(head: str, body: str, authors: tuple[str, ...], byline: str) -> None:
    facts = read(page(body + BODY, head)).facts
    assert (facts.authors, facts.byline) == (authors, byline)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (linked(datePublished="2024-03-05T23:30:00-02:00"), ""),
        ('<meta property="article:published_time" content="2024-03-06T01:30:00Z">', ""),
        ("", '<time datetime="2024-03-06T01:30">March 6</time>'),
    ],
)
def test_dates_are_utc(head: str, body: str) -> None:
    facts = read(page(body + BODY, head)).facts
    assert facts.published == datetime(2024, 3, 6, 1, 30, tzinfo=UTC)


def test_address_language_walls_and_kind() -> None:
    head = (
        '<link rel="canonical" href="/engines?ref=x"><meta property="og:type" content="article">'
        + linked(isAccessibleForFree="False")
    )
    facts = read(page(head=head)).facts
    assert facts.declared == "https://ada.example/engines?ref=x"
    assert (facts.language, facts.walled, facts.article) == ("en", True, True)
    plain = read(page()).facts
    assert (plain.declared, plain.walled, plain.article) == (None, False, False)


def test_the_feeds_that_a_page_names() -> None:
    from llmtwin_assets.corpus.html_text import parse

    head = (
        '<link rel="alternate" type="application/rss+xml" href="/feed">'
        '<link rel="alternate" type="application/rss+xml" href="/x" title="Comments on this">'
        '<link rel="alternate" type="application/atom+xml" href="https://b.org/atom">'
        '<link rel="alternate" hreflang="de" href="/de">'
    )
    assert feeds_of(parse(page(head=head)), URL) == [
        "https://ada.example/feed",
        "https://b.org/atom",
    ]


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("Grüße — “x”".encode(), None),
        ("Grüße — “x”".encode("utf-8-sig"), "windows-1252"),
        ("Grüße — “x”".encode("utf-16"), None),
        ("Grüße — “x”".encode("windows-1252"), "iso-8859-1"),
        (b"<meta charset='windows-1252'>" + "Grüße — “x”".encode("windows-1252"), None),
        ("Grüße — “x”".encode("windows-1252"), "no-such-charset"),
        ('<?xml version="1.0" encoding="utf-8"?>Grüße — “x”'.encode(), "utf-8"),
    ],
)
def test_a_page_is_decoded_by_what_is_known_of_it(body: bytes, charset: str | None) -> None:
    assert decode_html(body, charset).endswith("Grüße — “x”")


def test_a_page_without_text_that_asks_for_a_browser_says_so() -> None:
    html = "<html><body><div id='root'></div><script src=a.js></script></body></html>"
    assert read(html).scripted
    assert not read(page()).scripted
    assert not read("<html><body><p>short</p></body></html>").scripted


def test_a_page_nested_beyond_reason_is_refused() -> None:
    with pytest.raises(UnreadableHtmlError, match="nested too deep"):
        read("<div>" * 100_000 + "text")


@pytest.mark.parametrize("piece", ["<sup>1</sup>", "<h2><a href=x>x</a></h2>", "<b hidden>x</b>"])
def test_a_page_with_more_in_it_than_a_text_has_is_refused_soon(piece: str) -> None:
    began = time.process_time()
    with pytest.raises(UnreadableHtmlError, match="more than 100000 elements"):
        read(piece * 200_000)
    assert time.process_time() - began < 10
    began = time.process_time()
    read(f"<p>{FIRST}</p>" + piece * 20_000)
    assert time.process_time() - began < 10


def test_the_title_on_the_way_to_the_page_is_not_its_text() -> None:
    title = "On engines that weave patterns of flowers and leaves"
    body = f"<ul><li>{title}</li></ul><h2>{title}</h2>{BODY}"
    assert read(page(body, title=title)).text == MARKDOWN


def test_a_heading_that_repeats_a_sentence_of_the_text_is_none_of_it() -> None:
    top = f"<div class='sidebar'><h2>{FIRST.split('. ')[0]}</h2></div>"
    assert read(page(around=top + "{}")).text == MARKDOWN


def test_text_in_a_script_without_spaces_is_known_by_its_letters() -> None:
    paragraphs = [f"これは{'織機について' * 4}の{number}番目の段落です。" for number in range(6)]
    body = "".join(f"<p>{text}</p>" for text in paragraphs)
    assert read(page(f"<ul><li>次の記事へ進む</li></ul>{body}")).text == "\n\n".join(paragraphs)


def test_a_control_character_costs_nothing_but_itself() -> None:
    html = page(BODY.replace("It has", "It\x0b &#8;&#xB;has"))
    assert read(html).text == MARKDOWN


def test_a_script_within_the_text_is_no_part_of_it() -> None:
    script = "<script>track('a', 'b', 'c', 'd', 'e')</script><svg><text>drawn words</text></svg>"
    assert read(page(BODY.replace("It has", f"It {script}has"))).text == MARKDOWN


def test_an_empty_page_has_no_text() -> None:
    for html in ("", "   ", "<html></html>", "\x00"):
        assert read(html).text == ""
