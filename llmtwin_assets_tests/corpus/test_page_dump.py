"""Whole pages as crawlers store them, made for the tests: the frame goes, every author's line
stays."""

import pytest

from llmtwin_assets.corpus.page_dump import page_text

TITLE = "How Copper Is Made and Why It Matters to the People Who Make It, Every Day"
WRAPPED = "How Copper Is Made and Why It Matters to the People Who Make\nIt, Every Day"
BOX = f"""Share this post

#### {WRAPPED}

ada.example.com

Copy link

Facebook

Email

Note

Other

"""
ARTICLE = """Why is it called that way?

  * **Soft** means that it bends;

  * **Hard** means that it does not.

Copper is made in furnaces, and this paragraph is long enough to be one of the article's own.

    for number in range(3):
        print(number)

    1

    22

Share

is a word on a line of its own here, and Facebook is a word within a line.

Mar 27, 2024

### Related

**Another Article**
 _Its subtitle_example.com"""


def page(article: str = ARTICLE, subtitle: str = "What furnaces do") -> str:
    return (
        f"# Ada Writer\n\nSubscribeSign in\n\n{BOX}# {WRAPPED}\n\n### {subtitle}\n\nAda Writer\n\n"
        f"Mar 27, 2024\n\n12\n\n{BOX}3\n\nShare\n\n#### _What furnaces do_\n\nImage by author\n\n"
        f"{article}\n\n12\n\n{BOX}3\n\nShare\n\n#### Discussion about this post\n\nComments\n\n"
        "Restacks\n\n| BobMar 28A reader's words.Expand full commentReplyShare\n---|---\n\nTop\n\n"
        "No posts\n\nReady for more?\n\nSubscribe\n\n© 2024 Ada Writer\n\nPrivacy ∙ Terms\n"
    )


def test_every_line_of_the_author_stays_and_every_other_goes() -> None:
    assert page_text(page(), TITLE, "Ada Writer") == (
        "#### _What furnaces do_\n\nImage by author\n\n" + ARTICLE
    )


def test_two_different_subtitles_both_stay() -> None:
    text = page_text(page(subtitle="Another subtitle"), TITLE, "Ada Writer")
    assert text.startswith("### Another subtitle\n\n#### _What furnaces do_")


SITE = """Ada Writer

  * __Course
  * __About

__

# On Tin

What tin is for

Metals

Author

Ada Writter

Published

July 29, 2024

  * ⚡ **Metals** __

    * Copper

    * Tin

  * * * *

  * **Alloys** __

    * Bronze

## **Sections**

  * First
  * Second

Tin is white, and this sentence is long enough to be seen as the first of the article itself.

## First

  * First
  * Second

## Second

The end of it.

__Copyright 2024, Ada Writer
"""


def test_a_sites_lists_and_contents_go_and_the_articles_lists_stay() -> None:
    text = page_text(SITE, "On Tin", "Ada Writer")
    assert text.startswith("What tin is for\n\nTin is white")
    assert text.endswith("## First\n\n  * First\n  * Second\n\n## Second\n\nThe end of it.")


def test_a_page_without_its_title_keeps_its_text() -> None:
    assert page_text("Some text.\n\nShare", "Missing", "Ada") == "Some text."
    assert page_text("", "Missing", "Ada") == ""


def test_a_discussion_heading_of_the_authors_own_does_not_end_the_page() -> None:
    text = "# T\n\n#### Discussion about this post\n\n" + "Words of the author. " * 40
    assert page_text(text, "T", "Ada").endswith("Words of the author.")


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_line_ends_of_both_kinds_are_read(end: str) -> None:
    assert "Copper is made" in page_text(page().replace("\n", end), TITLE, "Ada Writer")
