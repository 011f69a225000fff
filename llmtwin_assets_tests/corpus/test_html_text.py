"""HTML to Markdown: structure kept, no letter changed, and nothing that hangs or crashes."""

import time
from contextlib import suppress

import pytest

from llmtwin_assets.corpus.html_text import UnreadableHtmlError, parse, render, to_markdown


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<h1>One</h1><h3>Three <b>bold</b></h3>", "# One\n\n### Three bold"),
        ("<p>a <b>bold</b> <i>word</i></p>", "a **bold** *word*"),
        ("<p>a<strong> b </strong>c</p>", "a **b** c"),
        ("<p><b>a</b><b>b</b> <em><strong>c</strong></em></p>", "**ab** ***c***"),
        ("<p><s>gone</s> <code>x = 1</code> <code>`y`</code></p>", "~~gone~~ `x = 1` `` `y` ``"),
        ('<p><a href="https://x.org">a <b>link</b></a>.</p>', "[a **link**](https://x.org)."),
        ('<p><a href="#note">1</a> <a href="javascript:x()">go</a></p>', "1 go"),
        ("<p>one<br>two<br/><br>three</p>", "one\ntwo\n\nthree"),
        ("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n  - b\n- c"),
        ('<ol start="3"><li>a</li><li><p>b</p><p>c</p></li></ol>', "3. a\n4. b\n\n   c"),
        ("<ul><li>a</li></ul><ol><li>b</li></ol>", "- a\n\n1. b"),
        ("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b"),
        ("<blockquote>a<ul><li>b</li></ul></blockquote>", "> a\n>\n> - b"),
        ("<pre>  a\n\n    b</pre>", "```\n  a\n\n    b\n```"),
        ("<pre>a<br>b</pre>", "```\na\nb\n```"),
        ('<pre><code class="language-c++">x</code></pre>', "```c++\nx\n```"),
        ("<pre>```\nx\n```</pre>", "````\n```\nx\n```\n````"),
        ("<p>a</p><hr><p>b</p>", "a\n\n---\n\nb"),
        (
            "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>x|y</td></tr></table>",
            "| a | b |\n| --- | --- |\n| 1 | x\\|y |",
        ),
        ("<table><tr><td><p>one</p></td></tr></table>", "one"),
        ("<figure><img src=x><figcaption>What it is</figcaption></figure>", "What it is"),
        ("<p>a<script>x</script><style>y</style><!-- z -->b</p>", "ab"),
        ("<p>a &amp; b &lt;c&gt;&nbsp;d</p>", "a & b <c>\u00a0d"),
        ("<p>  a \n\t b  </p>", "a b"),
        ("plain <b>words", "plain **words**"),
        ("<p>snake_case * 2 [sic] # not a heading</p>", "snake_case * 2 [sic] # not a heading"),
        ("<p>𝗕𝗼𝗹𝗱 ﬁne e\u0301 🙂</p>", "𝗕𝗼𝗹𝗱 ﬁne e\u0301 🙂"),
        ("", ""),
        ("<!-- nothing -->", ""),
    ],
)
def test_structure_becomes_markdown(html: str, markdown: str) -> None:
    assert to_markdown(html) == markdown


def test_links_become_absolute() -> None:
    html = '<p><a href="/x">a</a> <a href="http://[bad">b</a></p>'
    assert to_markdown(html, "https://ada.org/p/") == "[a](https://ada.org/x) b"


def test_what_the_caller_drops_stays_out_and_the_text_after_it_stays() -> None:
    tree = parse('<p>a <span class="ad">buy</span> b</p><div class="ad"><p>now</p></div>')
    assert render(tree, drop=lambda element: element.get("class") == "ad") == "a b"


HOSTILE = {
    "tables": "<table><tr><td>" * 600 + "x",
    "lists": "<ul><li>x" * 600,
    "quotes": "<blockquote>" * 1500 + "x" + "</blockquote>" * 1500 + "<p>after</p>",
    "marks": "<b><i>" * 900 + "x",
    "links": "<a href=x>" * 100_000 + "x",
    "paragraphs": "<p>" * 100_000 + "x",
    "items": "<li>" * 100_000 + "x",
    "attributes": "<p " + "a=b " * 100_000 + ">x</p>",
    "breaks": "<br>" * 100_000 + "x",
    "spaces": "<p>" + " " * 1_000_000 + "x</p>",
    "entities": "&amp;" * 200_000,
    "code": "<pre>" + "`" * 100_000 + "</pre>",
    "cut": "<p><b><a href='",
    "control": "\x00\x01<p>x\x02</p>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_html_takes_no_time(name: str) -> None:
    began = time.process_time()
    to_markdown(HOSTILE[name])
    assert time.process_time() - began < 8


@pytest.mark.parametrize("tag", ["div", "blockquote", "b", "ul><li", "table><tr><td", "pre"])
def test_a_hundred_thousand_elements_within_one_another_are_refused_or_read(tag: str) -> None:
    began = time.process_time()
    with suppress(UnreadableHtmlError):
        to_markdown(f"<{tag}>" * 100_000 + "x")
    assert time.process_time() - began < 8


def test_what_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(UnreadableHtmlError, match="nested too deep"):
        to_markdown("<div>" * 100_000 + "x")


def test_text_under_two_thousand_levels_is_not_lost() -> None:
    html = "<div>" * 1900 + "deep" + "</div>" * 1900 + "<p>after</p>"
    assert to_markdown(html) == "deep\n\nafter"
