"""Archives that platforms give their authors, recognised by content: a zip, the folder it was
unpacked to, a file alone, or a folder with several of these, of which the newest of each platform
is read.
"""

import hashlib
from pathlib import Path
from types import ModuleType

from llmtwin_assets.authors import ArchiveSource, resolve_path
from llmtwin_assets.corpus import (
    ghost,
    linkedin,
    markdown_tree,
    medium,
    substack,
    wordpress,
    x,
)
from llmtwin_assets.corpus.export import Export
from llmtwin_assets.corpus.reading import (
    Context,
    Listing,
    SourceMissingError,
    UnreadableItemError,
)
from llmtwin_assets.corpus.zip_reader import Tree, is_zip, open_tree

# Markdown comes last: many archives hold a Markdown file.
FORMATS = (medium, substack, linkedin, x, wordpress, ghost, markdown_tree)
MANY = (wordpress, markdown_tree)  # what may lie in several files that belong together


def read(source: ArchiveSource, context: Context, listing: Listing) -> None:
    """List the author's works in an archive. Raises ``SourceMissingError`` when nothing at the path
    is an archive of a known platform. An archive that is as it was is not read."""
    path = resolve_path(source.path, context.base)
    seen = fingerprint(source, context)
    if context.memory.get("fingerprint") == seen:
        listing.unchanged = True
        return
    if not _read_tree(path, source, context, listing):
        found = [file for file in _archives_in(path) if _read_tree(file, source, context, listing)]
        if not found:
            raise SourceMissingError(
                str(path),
                "it is no archive of Medium, Substack, LinkedIn, X, WordPress or Ghost, and holds "
                "no Markdown",
                "Give the zip as it was downloaded, or the folder it was unpacked to",
            )
    listing.memory = {"fingerprint": seen}


def fingerprint(source: ArchiveSource, context: Context) -> str:
    """Changes when the archive does, its entry, the author's names or an importer; opens no
    file."""
    path = resolve_path(source.path, context.base)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    digest = hashlib.sha256(source.model_dump_json().encode())
    author = context.author
    digest.update(f"{author.name}{author.bylines}{[f.IMPORTER for f in FORMATS]}".encode())
    for file in files:
        if file.is_file():
            found = file.stat()
            digest.update(f"{file}:{found.st_size}:{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _read_tree(path: Path, source: ArchiveSource, context: Context, listing: Listing) -> bool:
    """Read the files at a path as the first format that recognises them; False when none does."""
    with open_tree(path) as tree:
        found = recognise(tree)
        if found is None:
            return False
        format_, root = found
        if context.wants(format_.KINDS[0]):  # once, though kinds are read one by one
            listing.quarantined.update(tree.refused)
        if any(context.wants(kind) for kind in format_.KINDS):
            format_.read(
                Export(format_.PLATFORM, format_.IMPORTER, tree, root, source, context, listing)
            )
        return True


def recognise(tree: Tree) -> tuple[ModuleType, str] | None:
    """(importer, root folder) of the first format that the files are in, or None."""
    for format_ in FORMATS:
        try:
            root = format_.recognise(tree)
        except UnreadableItemError:
            continue
        if root is not None:
            return format_, root
    return None


def _archives_in(path: Path) -> list[Path]:
    """The newest archive of each platform in a folder; all of those that belong together."""
    if not path.is_dir():
        return []
    newest: dict[str, Path] = {}
    for file in sorted((f for f in path.iterdir() if f.is_file()), key=_age):
        if file.suffix not in (".zip", ".xml", ".json") and not is_zip(file):
            continue
        with open_tree(file) as tree:
            found = recognise(tree)
        if found is not None:
            format_ = found[0]
            newest[str(file) if format_ in MANY else format_.PLATFORM] = file
    return list(newest.values())


def _age(file: Path) -> int:
    return file.stat().st_mtime_ns
