"""The registry: who has a twin and where their writing lies, read from ``authors.yaml``.

Also the partition that every author's asset shares. It knows the shape of an entry; reading a
source is the corpus room's work.
"""

import importlib.util
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import dagster as dg
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from resources.errors import LlmTwinError

authors_partition = dg.DynamicPartitionsDefinition(name="author")

PACKAGE = "package:"


class AuthorsFileError(LlmTwinError):
    """``authors.yaml`` is missing, malformed, or says something impossible."""


class UnknownAuthorError(LlmTwinError):
    """An author that the registry does not have."""


class Entry(BaseModel):
    """Part of the file: unknown keys are refused, so that a typing error is not silently lost."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    """A JSON export of the document warehouse of the LLM Engineer's Handbook: one folder with
    ``ArticleDocument.json`` and its sisters, or one of those files."""

    type: Literal["warehouse"]
    path: str
    full_name: str | None = None  # the author's name in the export; the registry's by default
    licence: str | None = None


Source = Annotated[FolderSource | WarehouseSource, Field(discriminator="type")]


class Author(Entry):
    """One author: an id for files and URLs, a name for people, and sources."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    name: str = Field(min_length=1)
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
    return f"at {place or 'the top'}: {first['msg']}{more}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
