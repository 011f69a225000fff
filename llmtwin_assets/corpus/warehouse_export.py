"""An author's stored documents as the warehouse's JSON export, the same layout that the source
``warehouse`` reads. What the layout has no place for stands under ``provenance``, so that an import
of an export gives the same documents, and an export of that import the same files.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmtwin_assets.authors import Author
from llmtwin_assets.records import content_id
from resources.documents import DocumentStore

FILES = {
    "article": "ArticleDocument.json",
    "post": "PostDocument.json",
    "repository": "RepositoryDocument.json",
}
USERS = "UserDocument.json"
# Fields of a document that the layout has a place for, and those that only one store needs.
PLACED = ("id", "author", "url", "title", "text", "language")
STORES_OWN = ("hash", "stamp", "origin", "size", "runs", "sketch", "work", "lead")


def export_warehouse(store: DocumentStore, author: Author, folder: Path) -> dict[str, int]:
    """Write the author's documents below ``folder``, one file per kind and one for the author;
    returns how many there are by kind. A file that would be the same is left as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    for kind, name in FILES.items():
        records = (_record(author, d) for d in store.documents(author.id, kind))
        counts[kind] = _write(folder / name, records)
    first, _, last = author.name.rpartition(" ")
    user = {"_id": _user_id(author), "first_name": first or last, "last_name": last}
    _write(folder / USERS, [user])
    return counts


def _record(author: Author, document: Mapping[str, Any]) -> dict[str, Any]:
    provenance = {
        name: value
        for name, value in document.items()
        if name not in PLACED and name not in STORES_OWN
    }
    content = {
        "Title": document["title"],
        "Subtitle": None,
        "Content": document["text"],
        "language": document.get("language"),
    }
    return {
        "_id": document["id"],
        "author_id": _user_id(author),
        "author_full_name": author.name,
        "platform": urlsplit(document["url"]).hostname or document["source"],
        "link": document["url"],
        "content": content,
        "provenance": provenance | {"author": author.id},
    }


def _user_id(author: Author) -> str:
    return content_id("user", author.id)


def _write(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write a list of records, whole or not at all; returns its length."""
    count = 0
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=path.name, delete=False
    ) as file:
        try:
            for record in records:
                file.write("[\n" if count == 0 else ",\n")
                file.write(json.dumps(record, ensure_ascii=False, sort_keys=True))
                count += 1
            file.write("\n]\n" if count else "[]\n")
            file.close()
            if path.exists() and _same(Path(file.name), path):
                os.unlink(file.name)
            else:
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return count


def _same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as a, other.open("rb") as b:
        while True:
            left, right = a.read(1 << 20), b.read(1 << 20)
            if left != right:
                return False
            if not left:
                return True
