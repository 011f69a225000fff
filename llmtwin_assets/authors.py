"""The registry: who has a twin and where their writing lies, read from ``authors.yaml``.

Also the partition that every author's asset shares. It knows the shape of an entry; reading a
source is the corpus room's work.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import dagster as dg
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from resources.errors import LlmTwinError

authors_partition = dg.DynamicPartitionsDefinition(name="author")

PACKAGE = "package:"
UNKNOWN_SOURCE = "unknown_source"


class AuthorsFileError(LlmTwinError):
    """``authors.yaml`` is missing, malformed, or says something impossible."""


class UnknownAuthorError(LlmTwinError):
    """An author that the registry does not have."""


class Entry(BaseModel):
    """Part of the file: unknown keys are refused, so that a typing error is not silently lost."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _web_address(value: str) -> str:
    """An http(s) address of a named host. What it leads to is the network guard's to judge."""
    try:
        parts = urlsplit(value)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"'{value}' is not a web address ({error})") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise ValueError(f"'{value}' is not a web address; it begins with https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a web address here carries no user name and no password")
    return value


WebAddress = Annotated[str, AfterValidator(_web_address)]
# What the author agrees to beyond public pieces: 'paid' lets pieces for members and payers in.
Consent = Literal["paid"]


class FolderSource(Entry):
    """Text and Markdown files below a folder, one document each."""

    type: Literal["folder"]
    path: str
    include: tuple[str, ...] = ("**/*.md", "**/*.markdown", "**/*.txt")
    kind: Literal["article", "post"] = "article"
    licence: str | None = None
    # For files with an editor's frame: the header ends with the first line that this matches …
    header_ends: str | None = None
    # … and lines that match one of these wholly are not the author's either.
    drop_lines: tuple[str, ...] = ()

    @field_validator("header_ends", "drop_lines")
    @classmethod
    def _compiles(cls, value: Any) -> Any:
        for pattern in (value,) if isinstance(value, str) else value or ():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression ({error})") from error
        return value


class WarehouseSource(Entry):
    """A JSON export of a document warehouse (the LLM Engineer's Handbook's, or our own): one folder
    with ``ArticleDocument.json`` and its sisters, or one of those files."""

    type: Literal["warehouse"]
    path: str
    full_name: str | None = None  # the author's name in the export; the registry's by default
    licence: str | None = None


class ArchiveSource(Entry):
    """An export that a platform gave the author: a zip, or a folder it was unpacked to. Which
    platform's is seen from its content."""

    type: Literal["archive"]
    path: str
    consent: Consent | None = None
    url: WebAddress | None = None  # the publication's, where the export does not say it
    replies: bool = False  # take what the author answered to others, too
    licence: str | None = None


class FeedSource(Entry):
    """An RSS or Atom feed."""

    type: Literal["feed"]
    url: WebAddress
    kind: Literal["article", "post"] = "article"
    consent: Consent | None = None
    licence: str | None = None


class SiteSource(Entry):
    """The pages of a site that its sitemap lists: ``url`` is the site's or the sitemap's."""

    type: Literal["site"]
    url: WebAddress
    # Paths to take and to leave, with * for anything: '/blog/*'.
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    licence: str | None = None


class PageSource(Entry):
    """Single pages, one document each."""

    type: Literal["page"]
    urls: tuple[WebAddress, ...] = Field(min_length=1)
    kind: Literal["article", "post"] = "article"
    licence: str | None = None


class RepositorySource(Entry):
    """A git repository, by its https address, or by its path on this machine. With several hands in
    it, only lines that ``emails`` committed are the author's."""

    type: Literal["repository"]
    url: WebAddress | None = None
    path: str | None = None
    emails: tuple[str, ...] = ()
    include: tuple[str, ...] = ("**",)
    exclude: tuple[str, ...] = ()
    licence: str | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise ValueError("a repository has either a 'url' or a 'path'")
        return self


class UrlSource(Entry):
    """An address alone: what is there is decided by its host."""

    type: Literal["url"] = "url"
    url: WebAddress
    licence: str | None = None


def _entry_type(entry: Any) -> Any:
    """An entry's type; one that has only a ``url`` is of the type ``url``."""
    if isinstance(entry, Mapping):
        return entry.get("type", "url" if "url" in entry else None)
    return getattr(entry, "type", None)


Source = Annotated[
    Annotated[FolderSource, Tag("folder")]
    | Annotated[WarehouseSource, Tag("warehouse")]
    | Annotated[ArchiveSource, Tag("archive")]
    | Annotated[FeedSource, Tag("feed")]
    | Annotated[SiteSource, Tag("site")]
    | Annotated[PageSource, Tag("page")]
    | Annotated[RepositorySource, Tag("repository")]
    | Annotated[UrlSource, Tag("url")],
    Discriminator(
        _entry_type,
        custom_error_type=UNKNOWN_SOURCE,
        custom_error_message="is no type of source; there are archive, feed, site, page, "
        "repository, folder and warehouse, and a 'url' alone",
    ),
]


def name_of(source: Source) -> str:
    """A source's name for people, unique among an author's: its type and where it lies."""
    place = source.urls[0] if isinstance(source, PageSource) else getattr(source, "path", None)
    return f"{source.type} {place or getattr(source, 'url', '')}"


class Author(Entry):
    """One author: an id for files and URLs, a name for people, and sources. ``bylines`` are the
    other names and logins they sign with, ``language`` (ISO 639 code) what they write in: where it
    is given, text in another one closes a gate."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    name: str = Field(min_length=1)
    bylines: tuple[str, ...] = ()
    language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
    sources: tuple[Source, ...] = Field(min_length=1)


class Registry(Entry):
    """The whole file. Keys that begin with ``x-`` are free, for YAML anchors."""

    authors: tuple[Author, ...]

    def author(self, author_id: str) -> Author:
        """An author by id; raises ``UnknownAuthorError``."""
        for author in self.authors:
            if author.id == author_id:
                return author
        known = ", ".join(author.id for author in self.authors) or "nobody"
        raise UnknownAuthorError(
            author_id, f"no such author; the file lists {known}", "Add them to authors.yaml"
        )


@dataclass(frozen=True)
class AuthorsFile:
    """The registry's file, read anew at every use, so that an edit needs no restart."""

    path: Path

    @property
    def base(self) -> Path:
        """The folder that relative source paths are relative to."""
        return self.path.resolve().parent

    def read(self) -> Registry:
        """The registry as it is now; raises ``AuthorsFileError``."""
        return read_registry(self.path)


def read_registry(path: Path) -> Registry:
    """The registry in a file; raises ``AuthorsFileError`` that says where the mistake is."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise AuthorsFileError(
            str(path), "there is no such file", "Create it, or set LLMTWIN_AUTHORS"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AuthorsFileError(
            str(path), f"it is not YAML ({_one_line(error)})", "Mend that place in the file"
        ) from error
    if not isinstance(content, dict):
        raise AuthorsFileError(str(path), "it has no 'authors:' list", "Begin it with 'authors:'")
    named = {key: value for key, value in content.items() if not str(key).startswith("x-")}
    try:
        registry = Registry.model_validate(named)
    except ValidationError as error:
        raise AuthorsFileError(str(path), _first_mistake(error), "Mend that entry") from error
    _refuse_twice(path, registry)
    return registry


def resolve_path(path: str, base: Path) -> Path:
    """Where a source's path points: ``package:NAME/…`` is inside an installed package, ``~`` the
    home directory, anything relative is relative to the registry's folder ``base``."""
    if not path.startswith(PACKAGE):
        return (base / Path(path).expanduser()).resolve()
    name, _, rest = path.removeprefix(PACKAGE).partition("/")
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise AuthorsFileError(path, f"no package '{name}' is installed", f"pip install {name}")
    return Path(found.submodule_search_locations[0]) / rest


def _refuse_twice(path: Path, registry: Registry) -> None:
    counts = Counter(author.id for author in registry.authors)
    twice = [author_id for author_id, count in counts.items() if count > 1]
    if twice:
        raise AuthorsFileError(
            str(path), f"author '{twice[0]}' stands in it twice", "Merge the two entries"
        )


def _first_mistake(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = first["msg"]
    if first["type"] == UNKNOWN_SOURCE and isinstance(first["input"], Mapping):
        message = f"'{first['input'].get('type')}' {message}"
    return f"at {place or 'the top'}: {message}{more}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
