"""From a fetched page to a raw document of the author: is it an article, is it theirs alone, may it
be used. For readers of sites, single pages, and feeds that only show summaries.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from llmtwin_assets.authors import Author, Source
from llmtwin_assets.corpus import extract
from llmtwin_assets.corpus.bylines import folded, is_by
from llmtwin_assets.corpus.canonical import clean_url, declared_url, site_of
from llmtwin_assets.corpus.fetching import Fetcher, digest
from llmtwin_assets.corpus.html_text import UnreadableHtmlError
from llmtwin_assets.corpus.page_facts import Facts, day_of
from llmtwin_assets.corpus.reading import Context, Listing, UnreadableItemError, raw_hash
from llmtwin_assets.records import RawDocument
from resources.errors import LlmTwinError
from resources.hosts import HostBusyError
from resources.pages import Stored

IMPORTER = f"page-1+{extract.VERSION}"
HTML = ("text/html", "application/xhtml+xml", "")
FEWEST = 20  # words of an article; a page with fewer is none
LONG = 250  # words; a page with as many is an article, although it does not say so
PREVIEW = 150  # words; a page for payers that shows fewer shows only its beginning
OTHERS = "written by others, or with others"
PAID = "for members or payers, without consent"
NO_ARTICLE = "no article: a start page, a list, a form"


@dataclass(frozen=True)
class Rules:
    """What a source takes: which kind of document its pages are, what may be used, and whether
    pages that do not say that they are articles are left out."""

    source: str
    kind: str = "article"
    licence: str | None = None
    paid: bool = False  # the author agrees to the use of pieces for payers
    only_articles: bool = False
    # The author's sites, as ``site_of`` gives them; a set has no order that a text could show.
    own: frozenset[str] = field(default=frozenset(), repr=False)

    def stamp(self, author: Author, page: Stored) -> str:
        """By which a page is known to be read already, by the same rules."""
        said = f"{IMPORTER}{self}{sorted(self.own)}{author.name}{author.bylines}".encode()
        return f"{digest(said)[:8]}:{digest(page.body)}"


def own_sites(sources: Collection[Source]) -> frozenset[str]:
    """The sites that an author's entries name."""
    urls = [url for source in sources for url in
            (getattr(source, "url", None), *getattr(source, "urls", ())) if url]  # fmt: skip
    return frozenset(site_of(url) for url in urls)


def document(
    page: Stored, id_: str, rules: Rules, context: Context, listing: Listing, fetcher: Fetcher
) -> RawDocument | None:
    """The page as a document; None, counted in ``listing``, when it is not one of the author's.

    Raises ``UnreadableItemError`` when it should be one and cannot be read.
    """
    if page.kind in HTML:
        found = read(page)
        if found.scripted:
            found = read(_shown(page, fetcher))
        reason = _why_not(found, rules, context.author)
    elif rules.only_articles:
        reason = NO_ARTICLE
    else:
        raise UnreadableItemError(page.url, f"it is {page.kind}, not a page", "Leave it out")
    if reason is not None:
        listing.leave_out(reason)
        return None
    _refuse_unreadable(page, found, found.facts)
    return _document(page, found, id_, rules, context)


def _why_not(found: extract.Page, rules: Rules, author: Author) -> str | None:
    """Why a page is none of the author's works; None when it is one."""
    whose = authorship(found.facts, author)
    if whose is False:
        return OTHERS
    if found.facts.walled and not rules.paid:
        return PAID
    if rules.only_articles and not _is_article(found, whose):
        return NO_ARTICLE
    return None


def _document(
    page: Stored, found: extract.Page, id_: str, rules: Rules, context: Context
) -> RawDocument:
    facts = found.facts
    return RawDocument(
        id=id_,
        author=context.author.id,
        kind=rules.kind,
        source=rules.source,
        external_id=clean_url(page.url),
        url=declared_url(page.location, facts.declared, rules.own),
        title=facts.title or "Untitled",
        text=found.text,
        published=day_of(facts.published),
        importer=IMPORTER,
        licence=rules.licence,
        consent="paid" if facts.walled else None,
        visibility="paid" if facts.walled else "public",
        language=facts.language,
        created=facts.published,
        updated=facts.updated,
        fetched=context.clock(),
        raw_hash=raw_hash(page.body),
    )


def read(page: Stored) -> extract.Page:
    """A page taken apart; raises ``UnreadableItemError``."""
    try:
        return extract.extract(page.body, page.location, page.charset)
    except UnreadableHtmlError as error:
        raise UnreadableItemError(page.url, error.problem, error.remedy) from error


def _is_article(found: extract.Page, whose: bool | None) -> bool:
    """Whether a page of a site is a piece of writing: it says so, is dated or signed, or is long;
    and it is no list of such."""
    facts = found.facts
    says = facts.article or facts.published is not None or bool(whose)
    if found.words < FEWEST or (facts.lists and not facts.article):
        return False
    return says or found.words >= LONG


def _shown(page: Stored, fetcher: Fetcher) -> Stored:
    """The page as a browser shows it; raises ``UnreadableItemError`` where none does."""
    try:
        return fetcher.shown(page)
    except HostBusyError:
        raise
    except LlmTwinError as error:
        raise UnreadableItemError(
            page.url,
            f"its text is put there by a script, and {error.item}: {error.problem}",
            error.remedy,
        ) from error


def text_of_page(page: Stored) -> str:
    """The content of a page as Markdown; empty for what is no page."""
    return read(page).text if page.kind in HTML else ""


def authorship(facts: Facts, author: Author) -> bool | None:
    """Whether a page says that it is the author's, and nobody else's; None when it says nothing.

    What its data say has to be theirs wholly; what its text says, which dates and reading times
    stand in, has to name them.
    """
    if facts.authors and not all(is_by(name, author) for name in facts.authors):
        return False
    if facts.byline and not is_by(facts.byline, author):
        said = folded(facts.byline)
        names = [folded(name) for name in (author.name, *author.bylines)]
        if not any(name and name in said for name in names):
            return False
    return True if facts.authors or facts.byline else None


def _refuse_unreadable(page: Stored, found: extract.Page, facts: Facts) -> None:
    if not found.text.strip():
        raise UnreadableItemError(page.url, "there is no text in it", "Leave it out")
    if facts.walled and found.words < PREVIEW:
        raise UnreadableItemError(
            page.url, "only its beginning is public", "Use the platform's archive"
        )
