"""Pages with known structure, and how much of it arrives as Markdown. Used by
``benchmarks.extraction``.

Each page has a site's frame around an article of headings of three levels, paragraphs with links,
strong and emphasised words and inline code, lists (bulleted, numbered, nested), blocks of code with
a language and indentation, quotations and a table. Marks may be any that Markdown allows.
"""

import random
import re
from collections import Counter
from collections.abc import Callable

SYLLABLES = "ba do ke li mu na po ri sa tu ve wi zo la me ni ro si ta vu".split()
PAGES = 40
PARTS = 4  # of an article
BULLET = r"[-*+] +"

Wanted = list[tuple[str, str]]  # kind, and a pattern over the lines of the Markdown


class Writer:
    """Writes parts of an article as HTML and remembers the Markdown that each has to become."""

    def __init__(self, seed: int) -> None:
        self._rng, self._seed = random.Random(seed), seed
        self.wanted: Wanted = []

    def words(self, count: int) -> str:
        """Words that stand nowhere else."""
        return " ".join("".join(self._rng.choices(SYLLABLES, k=3)) for _ in range(count))

    def want(self, kind: str, pattern: str) -> None:
        """The Markdown must hold ``pattern``."""
        self.wanted.append((kind, pattern))

    def part(self) -> str:
        """A section with all there is."""
        return "".join(
            [
                self.heading(2),
                self.paragraph(),
                self.bulleted(),
                self.heading(3),
                self.code(),
                self.paragraph(),
                self.numbered(),
                self.heading(4),
                self.quotation(),
                self.table(),
                self.nested(),
            ]
        )

    def heading(self, level: int) -> str:
        """A heading."""
        text = self.words(4)
        self.want(f"heading {level}", rf"^{'#' * level} {text}\s*$")
        return f"<h{level}>{text}</h{level}>"

    def paragraph(self) -> str:
        """Running text with what stands inside a line."""
        link, strong, soft, code = (self.words(2) for _ in range(4))
        address = f"https://example.org/{self.words(1)}"
        self.want("link", rf"\[{link}\]\({re.escape(address)}\)")
        self.want("strong", rf"(\*\*|__){strong}\1")
        self.want("emphasis", rf"(?<![*_])([*_]){soft}\1(?![*_])")
        self.want("inline code", rf"`{code}`")
        return (
            f"<p>{self.words(40)} <a href='{address}'>{link}</a> {self.words(20)} "
            f"<strong>{strong}</strong> {self.words(12)} <em>{soft}</em> {self.words(9)} "
            f"<code>{code}</code> {self.words(3)}.</p>"
        )

    def bulleted(self) -> str:
        """A list of three."""
        items = [self.words(6) for _ in range(3)]
        for item in items:
            self.want("bulleted item", rf"^ {{0,3}}{BULLET}{item}\s*$")
        return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"

    def numbered(self) -> str:
        """A list of three with numbers."""
        items = [self.words(6) for _ in range(3)]
        for number, item in enumerate(items, 1):
            self.want("numbered item", rf"^ {{0,3}}{number}[.)] +{item}\s*$")
        return f"<ol>{''.join(f'<li>{item}</li>' for item in items)}</ol>"

    def nested(self) -> str:
        """A list in a list."""
        outer, inner = self.words(5), [self.words(5) for _ in range(2)]
        self.want("nested item", rf"^ {{0,3}}{BULLET}{outer}\s*$")
        for item in inner:
            self.want("nested item", rf"^( {{2,}}|\t){BULLET}{item}\s*$")
        below = "".join(f"<li>{item}</li>" for item in inner)
        return f"<ul><li>{outer}<ul>{below}</ul></li></ul>"

    def code(self) -> str:
        """A block of code: every space counts, and the language is known."""
        name, other = self.words(1), self.words(1)
        lines = [f"def {name}(x):", f"    if x &lt; {self._seed}:", f"        return {other}[x]"]
        given = [line.replace("&lt;", "<") for line in lines]
        self.want("code", "".join(rf"^[ ]*{re.escape(line)}\s*\n" for line in given[:1]))
        self.want("code indentation", r"\n".join(rf"( {{4}}|\t|){re.escape(x)}" for x in given))
        self.want("code language", rf"^(```|~~~) ?python\s*\n{re.escape(given[0])}")
        return f'<pre><code class="language-python">{chr(10).join(lines)}\n</code></pre>'

    def quotation(self) -> str:
        """A block quotation."""
        text = self.words(12)
        self.want("quotation", rf"^> ?{text}\s*$")
        return f"<blockquote><p>{text}</p></blockquote>"

    def table(self) -> str:
        """A table of two columns."""
        rows = [(self.words(1), self.words(2)) for _ in range(3)]
        for left, right in rows:
            self.want("table row", rf"^\|? ?{left} *\| *{right} *\|?\s*$")
        head, *body = rows
        cells = "".join(f"<tr><td>{left}</td><td>{right}</td></tr>" for left, right in body)
        return f"<table><tr><th>{head[0]}</th><th>{head[1]}</th></tr>{cells}</table>"


def made_page(seed: int) -> tuple[str, Wanted]:
    """A page with a frame around an article, and what has to arrive of it."""
    writer = Writer(seed)
    parts = "".join(writer.part() for _ in range(PARTS))
    menu = "".join(
        f"<li><a href='/{writer.words(1)}'>{writer.words(2)}</a></li>" for _ in range(12)
    )
    page = (
        f"<html><head><title>{writer.words(5)}</title></head><body><nav><ul>{menu}</ul></nav>"
        f"<main><article><h1>{writer.words(5)}</h1>{parts}</article></main>"
        f"<aside>{writer.words(30)}</aside><footer><p>{writer.words(12)}</p></footer></body></html>"
    )
    return page, writer.wanted


def structure() -> dict[str, dict[str, float]]:
    """System -> kind of structure -> share that arrives as Markdown, and ``all`` of it."""
    import html2text
    import trafilatura

    from llmtwin_assets.corpus.extract import extract

    readers: dict[str, Callable[[str], str]] = {
        "ours": lambda page: extract(page.encode(), "https://example.org/a").text,
        "trafilatura": lambda page: (
            trafilatura.extract(
                page, output_format="markdown", include_links=True, include_formatting=True
            )
            or ""
        ),
        "html2text": lambda page: html2text.HTML2Text(bodywidth=0).handle(page),
    }
    return {name: arrived(read) for name, read in readers.items()}


def arrived(read: Callable[[str], str]) -> dict[str, float]:
    """Kind of structure -> share of it that a reader keeps."""
    found: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for seed in range(PAGES):
        page, wanted = made_page(seed)
        text = read(page)
        for kind, pattern in wanted:
            total.update((kind, "all"))
            if re.search(pattern, text, re.MULTILINE):
                found.update((kind, "all"))
    return {kind: round(found[kind] / total[kind], 4) for kind in sorted(total)}
