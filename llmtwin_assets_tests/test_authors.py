from pathlib import Path

import pytest

from llmtwin_assets.authors import (
    AuthorsFileError,
    UnknownAuthorError,
    name_of,
    read_registry,
    resolve_path,
)
from llmtwin_assets.corpus.ingest import list_sources
from llmtwin_assets.settings import PROJECT

GOOD = """
x-shared: &shared {type: folder, path: essays}
authors:
  - id: ada
    name: Ada Writer
    sources: [{<<: *shared, kind: post}]
"""


def registry(tmp_path: Path, text: str):
    path = tmp_path / "authors.yaml"
    path.write_text(text)
    return read_registry(path)


def test_a_registry_is_read_with_its_anchors(tmp_path: Path) -> None:
    (ada,) = registry(tmp_path, GOOD).authors
    assert (ada.id, ada.sources[0].path) == ("ada", "essays")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("authors: [", "not YAML"),
        ("- a list", "no 'authors:' list"),
        ("", "no 'authors:' list"),
        ("authors: []\nautors: []", "autors"),
        (GOOD.replace("id: ada", "id: Ada!"), r"authors\.0\.id"),
        (GOOD.replace("name: Ada Writer", "nam: Ada"), r"authors\.0"),
        (GOOD.replace("type: folder", "type: telepathy"), "telepathy"),
        (GOOD.replace("kind: post", "kind: rumour"), "kind"),
        (GOOD.replace("kind: post", "header_ends: '['"), "not a regular expression"),
        (GOOD + "  - {id: ada, name: A, sources: [{type: folder, path: x}]}", "'ada' .* twice"),
        (GOOD + "  - {id: bob, name: Bob, sources: []}", "sources"),
    ],
)
def test_a_mistake_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(AuthorsFileError, match=said) as refusal:
        registry(tmp_path, text)
    assert "authors.yaml" in str(refusal.value)


EVERY_TYPE = """
authors:
  - id: ada
    name: Ada Writer
    bylines: [ada_w]
    sources:
      - {type: archive, path: ~/medium.zip, consent: paid}
      - {type: feed, url: "https://ada.org/feed", kind: post}
      - {type: site, url: "https://ada.org", include: ["/blog/*"]}
      - {type: page, urls: ["https://ada.org/a", "https://ada.org/b"]}
      - {type: repository, url: "https://github.com/ada/notes", emails: [ada@ada.org]}
      - {type: folder, path: notes}
      - {type: warehouse, path: dump}
      - url: https://ada.substack.com
"""


def test_every_type_of_source_is_read_and_has_a_name_of_its_own(tmp_path: Path) -> None:
    (ada,) = registry(tmp_path, EVERY_TYPE).authors
    types = [source.type for source in ada.sources]
    assert types == [
        "archive", "feed", "site", "page", "repository", "folder", "warehouse", "url",
    ]  # fmt: skip
    assert len({name_of(source) for source in ada.sources}) == 8
    assert name_of(ada.sources[0]) == "archive ~/medium.zip"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{path: notes}", "'None' is no type of source; there are archive, feed"),
        ("{type: feed}", r"sources\.0\.feed\.url: Field required"),
        ("{type: feed, url: 'ftp://ada.org'}", "not a web address; it begins with https"),
        ("{type: feed, url: 'file:///etc/passwd'}", "not a web address"),
        ("{type: feed, url: 'https://'}", "not a web address"),
        ("{type: feed, url: 'https://[::1'}", "not a web address"),
        ("{url: 'https://me:secret@ada.org'}", "no user name and no password"),
        ("{type: archive, path: x, consent: all}", "paid"),
        ("{type: page, urls: []}", "urls"),
        ("{type: site, url: 'https://ada.org', depth: 3}", "depth"),
        ("just a text", "type of source"),
    ],
)
def test_a_mistake_in_a_source_says_where_and_what(tmp_path: Path, entry: str, said: str) -> None:
    text = f"authors:\n  - {{id: ada, name: Ada, sources: [{entry}]}}"
    with pytest.raises(AuthorsFileError, match=said) as refusal:
        registry(tmp_path, text)
    assert "secret" not in str(refusal.value)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AuthorsFileError, match="LLMTWIN_AUTHORS"):
        read_registry(tmp_path / "none.yaml")


def test_an_unknown_author_is_told_who_there_is(tmp_path: Path) -> None:
    with pytest.raises(UnknownAuthorError, match="the file lists ada"):
        registry(tmp_path, GOOD).author("eve")


def test_paths_are_relative_to_the_file_or_inside_a_package(tmp_path: Path) -> None:
    assert resolve_path("essays", tmp_path) == tmp_path / "essays"
    assert resolve_path("/srv/essays", tmp_path) == Path("/srv/essays")
    assert resolve_path("package:dagster/_core", tmp_path).is_dir()
    with pytest.raises(AuthorsFileError, match="pip install no_such_package"):
        resolve_path("package:no_such_package/x", tmp_path)


def test_the_shipped_registry_holds_the_essays_of_certain_authorship() -> None:
    shipped = read_registry(PROJECT / "authors.yaml")
    found = {
        author.id: {
            int(document.external_id[11:13]) for document in list_sources(author, PROJECT).documents
        }
        for author in shipped.authors
    }
    assert {author: len(numbers) for author, numbers in found.items()} == {
        "james-madison": 14,
        "alexander-hamilton": 51,
        "john-jay": 5,
    }
    nobody = {18, 19, 20, *range(49, 59), 62, 63}
    everybody = set().union(*found.values())
    assert everybody == set(range(1, 86)) - nobody


def test_the_shipped_essays_come_without_the_editors_header() -> None:
    shipped = read_registry(PROJECT / "authors.yaml")
    for author in shipped.authors:
        for document in list_sources(author, PROJECT).documents:
            head = document.text[:200]
            assert "People of the State" not in head, document.external_id
            assert author.name.split()[-1].upper() not in document.text, document.external_id
            assert "PUBLIUS" not in document.text.split("\n")[-1], document.external_id
            assert "THE FEDERALIST." not in document.text, document.external_id
            assert document.title
            assert "\n\n\n" not in head
