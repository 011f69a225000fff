import pytest

from llmtwin_assets.corpus.html_text import parse, render
from llmtwin_assets.corpus.tidy import tidied

CODE = 'def f(x):\n\tif x:\n        return  x\n\n    return "<a>"'


def markdown(html: str) -> str:
    return render(tidied(parse(html)), "https://e.org/blog/post")


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h2><a href='#x'>#</a> Title <a class='anchor' href='#x'>¶</a></h2>", "## Title"),
        ("<p>E = mc<sup>2</sup>, 4<sup>th</sup></p>", "E = mc^2, 4th"),
        ("<p>said<sup><a href='#fn1'>1</a></sup></p>", "said[1]"),
        ("<p>said<a href='/blog/post#fn2'><sup>2</sup></a></p>", "said[2]"),
        ("<ol><li>The note <a href='#ref1'>↩</a></li></ol>", "1. The note"),
        ("<p>a <img src=x class='wp-smiley emoji' alt='🙂'> b <img alt=chart src=y></p>", "a 🙂 b"),
        ("<pre>a<br>  b<br/>c</pre>", "```\na\n  b\nc\n```"),
        ("<pre><code><div>a</div><div>  b</div></code></pre>", "```\na\n  b\n```"),
    ],
)
def test_what_is_drawn_is_read_as_what_it_means(html: str, expected: str) -> None:
    assert markdown(html) == expected


@pytest.mark.parametrize(
    ("html", "language"),
    [
        ("<pre>{}</pre>", ""),
        ("<pre><code class='language-python'>{}\n</code></pre>", "python"),
        ("<pre class='brush: python; gutter: false'>{}</pre>", "python"),
        ("<div class='highlight-source-python'><pre>\n{}\n</pre></div>", "python"),
        ("<div class='highlight highlight-source-python'><pre>{}</pre></div>", "python"),
        ("<pre data-lang='Python'>{}</pre>", "python"),
        ("<pre class='language-none'>{}</pre>", ""),
        (
            "<table><tr><td class='gutter'><pre>1\n2</pre></td><td class='code'>"
            "<pre><code class='lang-python'>{}</code></pre></td></tr></table>",
            "python",
        ),
        ("<pre><span class='line-numbers-rows'>1 2</span>{}</pre>", ""),
    ],
)
def test_code_keeps_every_space_and_no_line_numbers(html: str, language: str) -> None:
    escaped = CODE.replace("<", "&lt;").replace(">", "&gt;")
    assert markdown(html.replace("{}", escaped)) == f"```{language}\n{CODE}\n```"


def test_formulas_come_once_as_tex() -> None:
    html = (
        "<p>Let <span class='katex'><span class='katex-mathml'><math><semantics><mi>x</mi>"
        "<annotation encoding='application/x-tex'>x^2</annotation></semantics></math></span>"
        "<span class='katex-html' aria-hidden='true'>x2</span></span> be.</p>"
    )
    assert markdown(html) == "Let $x^2$ be."


def test_a_table_that_is_a_layout_is_its_text_and_one_of_values_stays() -> None:
    html = "<table><tr><td><p>one</p><h2>two</h2></td></tr><tr><td>three</td></tr></table>"
    assert markdown(html) == "one\n\n## two\n\nthree"
    values = "<table><tr><th>Name</th><th>Value</th></tr><tr><td>a|b</td><td>1</td></tr></table>"
    assert markdown(values) == "| Name | Value |\n| --- | --- |\n| a\\|b | 1 |"


def test_what_a_reader_does_not_see_is_left_out() -> None:
    html = (
        "<p>seen</p><script>alert(1)</script><style>p{}</style><noscript>no</noscript>"
        "<p hidden>no</p><p style='display: none'>no</p><p aria-hidden='true'>no</p>"
        "<template>no</template><!-- no --><?no no?><button>no</button><svg><text>no</text></svg>"
    )
    assert markdown(html) == "seen"


def test_text_around_what_is_taken_out_stays() -> None:
    assert markdown("<p>a <b hidden>x</b> b<i hidden>y</i> c</p>") == "a b c"
