"""The article in the text of a whole page, as crawlers that keep everything store it: without the
site's frame and readers' comments.

The frame stands around the article: above its title, between title and first paragraph, and after
its end. There, lines are taken off by what they say. Within the article only boxes for sharing go,
which no author writes; a number or the word "Share" on a line of its own stays.
"""

import re
from itertools import groupby

from llmtwin_assets.corpus.reading import find_date

# A box to share a page: its heading repeats the title, which may be wrapped.
SHARE_BOX = re.compile(
    r"^Share this (?:post|podcast|discussion)\n+(?:#{2,6} [^\n]*(?:\n[^\n]+)?\n+)?"
    r"(?:[\w-]+(?:\.[\w-]+)+\n+)?"
    r"(?:(?:Copy link|Facebook|Email|Notes?|Other|Twitter|LinkedIn|Share)\n+){2,}",
    re.MULTILINE,
)
# Where a page's own text has ended: what follows is readers' comments and the site's footer.
ENDINGS = re.compile(
    r"^(?:#{2,6} Discussion about this (?:post|podcast|discussion)|_*Copyright \d{4}\b.*|"
    r"Ready for more\?|\| .*(?:Expand full comment|ReplyShare|Reply).*)$",
    re.MULTILINE,
)
# Lines of the frame, where the frame may be.
FRAME = re.compile(
    r"SubscribeSign in|Subscribe|Sign in|Share|Copy link|Facebook|Email|Note|Notes|Other|Comments|"
    r"Restacks|Top|Latest|Discussions|No posts|Leave a comment|Like|Listen|Save|Paid|Follow|"
    r"\d{1,5}|_{1,3}|(?:\d+ )?min read|∙|·"
)
AUTHOR_AND_DATE = re.compile(
    r"^Author\n+[^\n]+\n+(?:Affiliation\n+[^\n]+\n+)?Published\n+[^\n]+$", re.MULTILINE
)
LIST_ITEM = re.compile(r"\s*[*+-] |\s*\d{1,3}\. |\s*\* \* \*")
CONTENTS = re.compile(
    r"#{1,6} \W*(?:Sections|Contents|Table of contents|On this page)\W*", re.IGNORECASE
)
NAVIGATION = re.compile(r"(?:^|\s)__|\* \* \*")
HEADING = re.compile(r"^#{1,6} +(.*)", re.MULTILINE)
TEXT = 80  # characters of a paragraph, above which it is no part of the frame
EARLY = 4  # a heading about a discussion in the first quarter of a page is the article's own


def page_text(page: str, title: str, full_name: str) -> str:
    """The article in a page's text."""
    text = _after_title(page.replace("\r\n", "\n"), title)
    text = SHARE_BOX.sub("", _before_end(text) + "\n")
    lines = [line.rstrip() if not line.strip() else line for line in text.split("\n")]
    names = {full_name.casefold()}
    lines = _without_head(lines, names)
    lines = _without_tail(lines, names)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _after_title(text: str, title: str) -> str:
    """What follows the title's last heading; headings may be wrapped."""
    words = r"\s+".join(map(re.escape, title.split()))
    headings = list(re.finditer(rf"^#{{1,2}} {words}[ \t]*$", text, re.MULTILINE)) if words else []
    return text[headings[-1].end() :] if headings else text


def _before_end(text: str) -> str:
    endings = (m for m in ENDINGS.finditer(text) if m.start() > len(text) // EARLY)
    ending = next(endings, None)
    return text[: ending.start()] if ending else text


def _without_head(lines: list[str], names: set[str]) -> list[str]:
    """Take off what stands between title and first paragraph: names, dates, counters, the site's
    list of other pages and its table of contents. A subtitle stays, once."""
    blocks = _blocks(lines)
    head = next((n for n, block in enumerate(blocks) if _is_text(block)), 0)
    kept = _without_author_box(blocks[:head])
    kept = [block for block in kept if not _is_frame(block, names) and not _is_day(block)]
    article = "\n".join(line for block in blocks[head:] for line in block)
    kept = _without_lists(kept, article)
    subtitles = [block for block in kept if HEADING.match(block[0])]
    if len(subtitles) > 1 and _letters(subtitles[0]) == _letters(subtitles[1]):
        kept.remove(subtitles[0])
    return [line for block in [*kept, *blocks[head:]] for line in (*block, "")]


def _without_tail(lines: list[str], names: set[str]) -> list[str]:
    while lines and (not lines[-1].strip() or _is_frame([lines[-1]], names)):
        lines = lines[:-1]
    return lines


def _without_author_box(blocks: list[list[str]]) -> list[list[str]]:
    """A box of labels: the page's categories, then ``Author`` and ``Published`` with their values.
    Of the short lines above it, the first is the subtitle."""
    text = "\n\n".join("\n".join(block) for block in blocks)
    match = AUTHOR_AND_DATE.search(text)
    if not match:
        return blocks
    above, below = text[: match.start()], text[match.end() :]
    return [*_blocks(above.split("\n"))[:1], *_blocks(below.split("\n"))]


def _without_lists(blocks: list[list[str]], article: str) -> list[list[str]]:
    """Take off the site's lists of pages, which have icons and rules in them, and a table of
    contents, which repeats the article's headings. Any other list is the author's."""
    headings = {_letters([match[1]]) for match in HEADING.finditer(article)}
    kept: list[list[str]] = []
    for is_list, group in groupby(blocks, key=_is_list):
        run = list(group)
        lines = [line for block in run for line in block]
        if is_list and (
            any(NAVIGATION.search(line) for line in lines)
            or all(_letters([LIST_ITEM.sub("", line)]) in headings for line in lines)
        ):
            if kept and CONTENTS.fullmatch(kept[-1][0]):
                kept.pop()
            continue
        kept += run
    return kept


def _is_list(block: list[str]) -> bool:
    return all(LIST_ITEM.match(line) for line in block)


def _blocks(lines: list[str]) -> list[list[str]]:
    """Runs of lines that are not empty."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _is_text(block: list[str]) -> bool:
    """A paragraph of the article, or code: not a heading, a list or a short line."""
    if HEADING.match(block[0]) or LIST_ITEM.match(block[0]):
        return False
    return len(" ".join(block)) > TEXT or block[0].startswith(("    ", "```"))


def _is_frame(block: list[str], names: set[str]) -> bool:
    return all(FRAME.fullmatch(line.strip()) or line.strip().casefold() in names for line in block)


def _is_day(block: list[str]) -> bool:
    line = block[0].strip()
    return len(block) == 1 and len(line) < 20 and find_date(line) is not None


def _letters(block: list[str]) -> str:
    return "".join(letter for letter in " ".join(block).casefold() if letter.isalnum())
