import json
import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from llmtwin_assets.authors import RepositorySource
from llmtwin_assets.corpus import repositories
from llmtwin_assets.corpus.reading import SourceMissingError
from llmtwin_assets.corpus.repositories import address
from llmtwin_assets.corpus.source_files import is_generated, kind_of, language_of, notebook
from llmtwin_assets_tests.corpus.online import Online
from llmtwin_assets_tests.git_server import ADA, BOB, GitSite, Work
from llmtwin_assets_tests.website import Website
from llmtwin_assets_tests.writing import paragraph

FIRST, SECOND = (paragraph(random.Random(seed), 4) for seed in (1, 2))
CODE = 'def f(x):\n\tif x:\n        return  x   \n\n\n\n    return "```"'


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work")


def local(work: Work, **options) -> RepositorySource:
    return RepositorySource(type="repository", path=str(work.folder), **options)


def by_path(online: Online) -> dict[str, object]:
    return {document.external_id: document for document in online.documents.values()}


def test_readme_and_docs_are_articles_and_source_files_repository_documents(
    tmp_path: Path, work: Work
) -> None:
    work.put("README.md", f"# The Engine\n\n{FIRST}\n")
    work.put("docs/how-to.rst", f"How to\n======\n\n{SECOND}\n")
    work.put("src/engine.py", CODE)
    head = work.commit()
    with GitSite(tmp_path / "served") as site:
        online = Online(tmp_path, site)
        source = RepositorySource(type="repository", url=site.publish(work), licence="MIT")
        online.read(repositories, source)
        found = by_path(online)
        assert set(found) == {"README.md", "docs/how-to.rst", "src/engine.py"}
        code = found["src/engine.py"]
        assert code.text == f"````python\n{CODE}\n````"
        assert (code.kind, code.language, code.title) == (
            "repository", "python", "src/engine.py",
        )  # fmt: skip
        assert code.url == f"{source.url}#{head}:src/engine.py"
        readme = found["README.md"]
        assert (readme.kind, readme.title, readme.licence) == ("article", "The Engine", "MIT")
        assert readme.text == f"# The Engine\n\n{FIRST}"
        assert readme.published.isoformat() == "2023-11-15"
        assert readme.updated == readme.created
        assert found["docs/how-to.rst"].title == "How to"
        assert {d.source for d in found.values()} == {"repository"}
        only = Online(tmp_path / "only", site)
        only.read(repositories, source, kind="repository")
        assert set(by_path(only)) == {"src/engine.py"}
        only.read(repositories, source, kind="post")
        assert set(by_path(only)) == set()


def test_of_several_hands_only_the_authors_lines_are_read(tmp_path: Path, work: Work) -> None:
    work.commit(BOB, theirs_dot_py="a = 1\nb = 2\n", both_dot_py="a = 1\nb = 2\n\n\nc = 3\n",
                README_dot_md="Bob wrote this line.\n")  # fmt: skip
    work.commit(
        ADA,
        both_dot_py="x = 0\na = 1\nb = 2\ny  =  9\n\n\n\tc = 3\nz = 7\n",
        mine_dot_py="p = 1\n",
        README_dot_md=f"Bob wrote this line.\n\n{FIRST}\n",
    )
    work.commit(ADA, mine_dot_py="p = 1\nq = 2\nr = 3")
    online = Online(tmp_path)
    listing = online.read(repositories, local(work))
    found = by_path(online)
    assert set(found) == {"both.py", "mine.py", "README.md"}
    # An empty line stands where others' lines were; that c was indented does not make it hers.
    assert found["both.py"].text == "```python\nx = 0\n\ny  =  9\n\nz = 7\n```"
    assert found["mine.py"].text == "```python\np = 1\nq = 2\nr = 3\n```"
    assert found["README.md"].text == FIRST
    assert listing.left_out["files by others"] == 1


def test_the_author_is_known_by_name_byline_or_address(tmp_path: Path, work: Work) -> None:
    elsewhere = ("adaw", "1+adaw@users.noreply.github.com")
    at_work = ("A W", "Ada@Work.example")
    work.commit(BOB, bob_dot_py="x = 1\ny = 2\nz = 3\n")
    work.commit(elsewhere, there_dot_py="x = 1\ny = 2\nz = 3\n")
    work.commit(at_work, work_dot_py="x = 1\ny = 2\nz = 3\n")
    online = Online(tmp_path)
    with pytest.raises(SourceMissingError, match=r"A W, Bob Other, adaw.*emails"):
        online.read(repositories, local(work))
    online.author = online.author.model_copy(update={"bylines": ("adaw",)})
    online.read(repositories, local(work))
    assert set(by_path(online)) == {"there.py"}
    online.read(repositories, local(work, emails=("ada@work.example",)))
    assert set(by_path(online)) == {"there.py", "work.py"}


def test_what_nobody_wrote_there_is_left_out(tmp_path: Path, work: Work) -> None:
    code = "x = 1\n"
    for path in (
        "node_modules/a/index.js", "vendor/b.go", "third_party/c.c", "dist/d.js", "build/e.py",
        ".venv/lib/f.py", "package-lock.json", "poetry.lock", "go.sum", "a.min.js", "b_pb2.py",
        "LICENSE", "LICENSE.md", "CODE_OF_CONDUCT.md", ".github/PULL_REQUEST_TEMPLATE.md",
        "data.csv", "picture.svg", "config.json", "x.ipynb_checkpoints/y.bin",
    ):  # fmt: skip
        work.put(path, code)
    work.put("generated.py", "# Code generated by tool. DO NOT EDIT.\nx = 1\n")
    work.put("long.js", f"var a = '{'x' * 3000}';\n")
    work.put("binary.py", b"\x00\x01")
    work.put("latin.py", "# Grüße\n".encode("latin-1"))
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n"
    work.put("large.tex", pointer)
    work.put("huge.sql", "-- line\n" * 200_000)
    work.put("short.md", "Too short.\n")
    work.put("draft.md", f"---\ndraft: true\n---\n{FIRST}\n")
    work.put("empty.py", "\n\n")
    work.put("mine.py", code)
    work.commit()
    online = Online(tmp_path)
    listing = online.read(repositories, local(work))
    assert set(by_path(online)) == {"mine.py"}
    assert dict(listing.left_out) == {
        "generated files": 2,
        "binary files, and text that is not UTF-8": 3,
        "files over 1 MiB": 1,
        "texts too short for an article": 1,
        "drafts": 1,
        "files with hardly a line of the author's": 1,
    }


def test_include_and_exclude_say_which_files_are_wanted(tmp_path: Path, work: Work) -> None:
    for path in ("src/a.py", "src/old/b.py", "tools/c.py"):
        work.put(path, "x = 1\n")
    work.commit()
    online = Online(tmp_path)
    online.read(repositories, local(work, include=("src/**",), exclude=("*/old/*",)))
    assert set(by_path(online)) == {"src/a.py"}


def cells(*sources: tuple[str, str]) -> str:
    data = {
        "cells": [
            {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True),
             **({"outputs": [{"text": ["secret output"]}]} if kind == "code" else {})}
            for kind, text in sources
        ],
        "metadata": {"language_info": {"name": "julia"}},
        "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def test_a_notebook_is_its_cells_without_outputs(tmp_path: Path, work: Work) -> None:
    text = cells(("markdown", f"# Title\n\n{FIRST}"), ("code", "x  = 1\n\n\ty"), ("raw", "no"))
    work.commit(ADA, n_dot_ipynb=text)
    online = Online(tmp_path)
    online.read(repositories, local(work))
    (document,) = online.documents.values()
    assert document.text == f"# Title\n\n{FIRST}\n\n```julia\nx  = 1\n\n\ty\n```"
    assert (document.kind, document.title) == ("article", "Title")


def test_of_a_notebook_of_several_hands_only_the_authors_lines_are_read(
    tmp_path: Path, work: Work
) -> None:
    before = cells(("markdown", "Bob’s line.\nBob’s end."), ("code", "bob = 1\nsame = 2"))
    work.commit(BOB, n_dot_ipynb=before)
    both = cells(
        ("markdown", f"Bob’s line.\n{FIRST}\nBob’s end."), ("code", "bob = 1\nada = 2\nsame = 2"),
        ("code", "more = 3"),
    )  # fmt: skip
    work.commit(ADA, n_dot_ipynb=both)
    online = Online(tmp_path)
    online.read(repositories, local(work))
    (document,) = online.documents.values()
    assert document.text == f"{FIRST}\n\n```julia\nada = 2\n```\n\n```julia\nmore = 3\n```"


def test_what_is_no_notebook_is_quarantined_and_loses_no_other(tmp_path: Path, work: Work) -> None:
    for number, text in enumerate(("{}", "[]", "not json", '{"cells": 1}', "[" * 100_000)):
        work.put(f"{number}.ipynb", text)
    work.commit(ADA, fine_dot_py="x = 1\n")
    online = Online(tmp_path)
    listing = online.read(repositories, local(work))
    assert set(by_path(online)) == {"fine.py"}
    assert len(listing.quarantined) == 5
    assert all("not a Jupyter notebook" in reason for reason in listing.quarantined.values())


def test_an_old_notebook_is_read() -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "heading", "level": 2, "source": "Old"},
                                     {"cell_type": "code", "input": ["x = 1"]}]}]}  # fmt: skip
    assert notebook(json.dumps(old)) == "## Old\n\n```python\nx = 1\n```"


def test_only_changed_files_are_read_again(tmp_path: Path, work: Work) -> None:
    work.commit(ADA, a_dot_py="x = 1\n", b_dot_py="x = 2\n", c_dot_py="x = 3\n")
    online = Online(tmp_path)
    online.read(repositories, local(work))
    assert online.read(repositories, local(work)).unchanged
    work.commit(ADA, b_dot_py="x = 22\n", c_dot_py=None)
    listing = online.read(repositories, local(work))
    assert (len(listing.listed), len(listing.unread)) == (1, 1)
    assert set(by_path(online)) == {"a.py", "b.py"}
    assert by_path(online)["b.py"].text == "```python\nx = 22\n```"
    # Another hand joins: every line has to be looked at.
    work.commit(BOB, d_dot_py="x = 4\n")
    assert len(online.read(repositories, local(work)).listed) == 0
    assert online.documents == {}  # one line is hardly a file


def test_a_file_that_cannot_be_blamed_keeps_what_was_stored(tmp_path: Path, work: Work) -> None:
    work.commit(ADA, was_large_dot_py="# line\n" * 200_000, fine_dot_py="a = 1\nb = 2\nc = 3\n")
    work.commit(ADA, was_large_dot_py="x = 1\ny = 2\nz = 3\n")
    with GitSite(tmp_path / "served") as site:
        source = RepositorySource(type="repository", url=site.publish(work))
        online = Online(tmp_path, site)
        online.read(repositories, source)
        work.commit(BOB, bob_dot_py="x = 1\n")
        site.publish(work)
        listing = online.read(repositories, source)
        (reason,) = listing.quarantined.values()
        assert "older version of it is over 1 MiB" in reason
        assert set(by_path(online)) == {"was_large.py", "fine.py"}


def test_a_repository_that_cannot_be_fetched_is_a_failure(tmp_path: Path) -> None:
    with Website({}) as site:
        source = RepositorySource(type="repository", url=site.url("/gone.git"))
        with pytest.raises(Exception, match="could not fetch"):
            Online(tmp_path, site).read(repositories, source)


def test_the_fingerprint_changes_with_a_commit_and_asks_every_ten_minutes(
    tmp_path: Path, work: Work
) -> None:
    first = work.commit(ADA, a_dot_py="x = 1\n")
    with GitSite(tmp_path / "served") as site:
        source = RepositorySource(type="repository", url=site.publish(work))
        online = Online(tmp_path, site)

        def look() -> str:
            return repositories.fingerprint(source, online.context())

        assert look().endswith(first)
        asked = len(site.seen)
        second = work.commit(ADA, a_dot_py="x = 2\n")
        site.publish(work)
        assert look().endswith(first)
        assert len(site.seen) == asked
        online.later(minutes=16)
        assert look().endswith(second)
    before = repositories.fingerprint(local(work), online.context())
    work.commit(ADA, a_dot_py="x = 3\n")
    assert repositories.fingerprint(local(work), online.context()) != before


def test_where_a_file_is_shown() -> None:
    def shown(url: str) -> str:
        return address(RepositorySource(type="repository", url=url), "c0ffee", "a b/ä.py")

    assert shown("https://github.com/ada/engine.git") == (
        "https://github.com/ada/engine/blob/c0ffee/a%20b/%C3%A4.py"
    )
    assert shown("https://gitlab.com/ada/engine").startswith(
        "https://gitlab.com/ada/engine/-/blob/c0ffee/"
    )


def test_a_repository_is_named_by_address_or_path_and_not_by_both() -> None:
    for wrong in ({}, {"url": "https://x.org/a.git", "path": "a"}):
        with pytest.raises(ValidationError, match="either a 'url' or a 'path'"):
            RepositorySource(type="repository", **wrong)


@pytest.mark.parametrize(
    ("path", "what", "language"),
    [
        ("README", "prose", None),
        ("Readme.txt", "prose", None),
        ("notes.txt", None, None),
        ("docs/notes.txt", "prose", None),
        ("_posts/2024-01-01-x.md", "prose", None),
        ("a.PY", "source", "python"),
        ("Makefile", "source", "make"),
        ("a.ipynb", "notebook", None),
        ("src/author.py", "source", "python"),
        ("src/notice.go", None, "go"),
        ("a.lock", None, None),
    ],
)
def test_what_a_path_says(path: str, what: str | None, language: str | None) -> None:
    assert kind_of(path) == what
    assert language_of(path) == language


def test_what_a_generator_says_at_the_top() -> None:
    for text in (
        "// @generated by x", "# This file was automatically generated by y. Do not edit.",
        "/* DO NOT EDIT BY HAND: generated */", "# Generated by Django 4.2 on 2024-01-01",
    ):  # fmt: skip
        assert is_generated(text), text
    assert not is_generated("# It shows how reports are generated.\nx = 1")
    assert not is_generated("x = 1\n" * 1000 + "# @generated")
