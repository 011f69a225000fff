import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from llmtwin_assets.authors import ArchiveSource, Author, FolderSource
from llmtwin_assets.corpus import merge
from llmtwin_assets.corpus.ingest import Ingested, ingest
from llmtwin_assets.corpus.merge import Item, addresses, group, similarity, sketch
from llmtwin_assets.corpus.reading import Context
from llmtwin_assets_tests.corpus.exports import (
    SECOND,
    linkedin,
    medium,
    medium_story,
    unpacked,
    zipped,
)
from llmtwin_assets_tests.writing import paragraph
from resources.sqlite_documents import SqliteDocuments


def words(seed: int, paragraphs: int = 8) -> str:
    rng = random.Random(seed)
    return "\n\n".join(paragraph(rng) for _ in range(paragraphs))


def item(id_: str, text: str = "", url: str = "", origin: str = "", **options) -> Item:
    runs, hashes = sketch(text or words(sum(map(ord, id_))))
    values = {
        "id": id_,
        "origin": origin or id_,
        "source": "feed",
        "addresses": addresses(url),
        "size": len(text),
        "runs": runs,
        "sketch": hashes,
        "dated": False,
        "work": None,
        "lead": False,
    }
    return Item(**(values | options))


def works(*items: Item) -> dict[str, tuple[str, set[str]]]:
    """Work id -> (leading item, all items)."""
    return {g.work: (g.lead, set(g.items)) for g in group(items)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://ada.org/tin", "http://www.ada.org/tin/?utm_source=x#top"),
        ("https://medium.com/@ada/on-tin-1a2b3c4d5e6f", "https://ada.medium.com/tin-1a2b3c4d5e6f"),
        ("https://medium.com/p/1a2b3c4d5e6f", "https://medium.com/letters/t-1a2b3c4d5e6f?source=x"),
    ],
)
def test_addresses_of_one_page_are_one(one: str, other: str) -> None:
    assert addresses(one) & addresses(other)
    assert len(works(item("a", url=one), item("b", url=other))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://ada.org/tin", "https://ada.org/zinc"),
        ("https://ada.org/?p=1", "https://ada.org/?p=2"),
        ("https://ada.org", "https://ada.org/"),
        ("a.md", "a.md"),
    ],
)
def test_addresses_of_different_pages_and_front_pages_are_not(one: str, other: str) -> None:
    assert works(item("a", url=one), item("b", url=other)).keys() == {"a", "b"}


def test_an_address_that_one_source_gives_to_several_pieces_joins_none() -> None:
    items = [item(name, url="https://ada.org/blog", origin="feed") for name in "abc"]
    assert works(*items).keys() == {"a", "b", "c"}


def test_the_same_text_in_other_clothes_is_one_work() -> None:
    text = words(1)
    dressed = "# On Bridges\n\n" + text.replace("The ", "**The** ").replace(", and", " – and")
    dressed += "\n\n*Thank you for reading. Share this post.*"
    assert similarity(sketch(text)[1], sketch(dressed)[1]) > 0.8
    assert len(works(item("a", text), item("b", dressed))) == 1


def test_texts_that_share_a_third_are_two_works() -> None:
    shared = words(1, 4)
    one, other = shared + "\n\n" + words(2, 8), shared + "\n\n" + words(3, 8)
    assert works(item("a", one), item("b", other)).keys() == {"a", "b"}


def test_source_files_that_are_nearly_the_same_are_two_files() -> None:
    code = words(1).replace(" ", "\n    ")
    items = [item("a", code), item("b", code + "\nlast"), item("c", code)]
    grouped = {frozenset(found.items) for found in group(items, merge.IDENTICAL)}
    assert grouped == {frozenset({"a", "c"}), frozenset({"b"})}


def test_short_posts_are_compared_exactly() -> None:
    first = "Copper is soft, and I like it for what it is and for what it is not."
    assert len(works(item("a", first), item("b", first + " …"))) == 1
    assert len(works(item("a", first), item("b", first.replace("like", "hate")))) == 2
    assert len(works(item("a", "Yes."), item("b", "No."))) == 2


def test_the_estimate_is_close_to_the_truth() -> None:
    errors = []
    for seed in range(20):
        rng = random.Random(seed)
        one = [f"w{rng.getrandbits(40)}" for _ in range(1500)]
        other = one[: rng.randrange(900, 1500)] + [f"w{rng.getrandbits(40)}" for _ in range(200)]
        runs = [{tuple(w[n : n + 4]) for n in range(len(w) - 3)} for w in (one, other)]
        truth = len(runs[0] & runs[1]) / len(runs[0] | runs[1])
        errors.append(similarity(*(sketch(" ".join(w))[1] for w in (one, other))) - truth)
    assert abs(sum(errors)) / 20 < 0.02
    assert max(map(abs, errors)) < 0.1


def test_the_fullest_leads_and_among_equals_the_most_trusted() -> None:
    text = words(1)
    whole = item("a", text, "https://x.org/a", source="site", size=1000)
    summary = item("b", words(2, 1), "https://x.org/a", source="medium", size=90)
    assert works(whole, summary) == {"a": ("a", {"a", "b"})}
    export = item("c", text, "https://x.org/a", source="medium", size=980)
    assert works(whole, summary, export)["c"][0] == "c"


def test_a_work_keeps_its_id_when_another_item_takes_the_lead() -> None:
    text = words(1)
    first = item("b", text, size=900, work="b", lead=True)
    assert works(first, item("a", text, size=1000, source="medium")) == {"b": ("a", {"a", "b"})}


def test_a_work_that_comes_apart_keeps_its_id_where_its_lead_is() -> None:
    stays = item("b", words(1), work="a", lead=True)
    leaves = item("a", words(2), work="a")
    assert works(stays, leaves).keys() == {"a", group([stays, leaves])[1].work}
    assert dict(works(stays, leaves))["a"] == ("b", {"b"})


def test_grouping_again_changes_nothing() -> None:
    items = [item(str(n), words(n // 3, 3)) for n in range(30)]
    first = merge.places(group(items))
    again = [replace(i, work=first[i.id][0], lead=first[i.id][1]) for i in items]
    assert merge.places(group(again)) == first
    assert len({work for work, _ in first.values()}) == 10


# The same, through the store.


@pytest.fixture
def store(tmp_path: Path) -> SqliteDocuments:
    return SqliteDocuments(tmp_path / "documents.sqlite")


def taken(store: SqliteDocuments, *sources, kind: str = "article", **options) -> Ingested:
    ada = Author(id="ada", name="Ada Writer", sources=sources)
    found = ingest(store, Context(ada, Path(), kind), **options)
    found.refuse_failures()
    return found


def archive(path: Path) -> ArchiveSource:
    return ArchiveSource(type="archive", path=str(path))


def test_an_article_from_an_archive_and_a_site_is_one_document(
    tmp_path: Path, store: SqliteDocuments
) -> None:
    export = archive(zipped(tmp_path / "medium.zip", medium()))
    site = archive(
        unpacked(
            tmp_path / "site",
            {
                "_posts/2020-01-02-tin.md": "---\ncanonical_url: https://ada.org/tin/\n---\n"
                "Tin is white, and this is the fuller text of the two."
            },
        )
    )
    assert taken(store, export).merged == 0
    ids = store.hashes("ada", "article").keys()
    found = taken(store, export, site)
    assert (found.inserted, found.merged) == (1, 1)
    assert store.hashes("ada", "article").keys() == ids
    tin = next(d for d in store.documents("ada") if "Tin" in d["text"])
    assert tin["text"].endswith("fuller text of the two.")
    assert tin["aliases"] == [
        {"source": "medium", "external_id": SECOND, "url": "https://ada.org/tin"}
    ]
    assert taken(store, export, site).inserted == 0


def test_when_the_fuller_source_goes_the_other_one_leads_again(
    tmp_path: Path, store: SqliteDocuments
) -> None:
    files = {f"{n}.md": words(n) for n in range(8)}
    one = FolderSource(type="folder", path=str(unpacked(tmp_path / "one", files)))
    fuller = {name: text + "\n\nAnd a last word." for name, text in files.items()}
    two = FolderSource(type="folder", path=str(unpacked(tmp_path / "two", fuller)))
    taken(store, one)
    ids = set(store.hashes("ada"))
    taken(store, one, two)
    assert set(store.hashes("ada")) == ids
    assert all(len(d["aliases"]) == 1 for d in store.documents("ada"))
    (tmp_path / "one" / "3.md").unlink()
    taken(store, one, two)
    assert set(store.hashes("ada")) == ids
    taken(store, one, allow_loss=True)
    assert len(store.hashes("ada")) == 7
    assert set(store.hashes("ada")) < ids
    assert not any(d["aliases"] for d in store.documents("ada"))


def test_a_post_to_several_groups_is_one_document(tmp_path: Path, store: SqliteDocuments) -> None:
    found = taken(store, archive(zipped(tmp_path / "l.zip", linkedin())), kind="post")
    assert (found.inserted, found.merged) == (5, 2)
    shared = next(d for d in store.documents("ada") if "several groups" in d["text"])
    assert len(shared["aliases"]) == 2


def test_an_edited_story_is_one_written_item(tmp_path: Path, store: SqliteDocuments) -> None:
    export = archive(zipped(tmp_path / "m.zip", medium()))
    taken(store, export)
    name = next(name for name in medium() if SECOND in name)
    edited = medium_story("On Tin", "<p>Tin is white, mostly.</p>", SECOND, tags=True)
    zipped(tmp_path / "m.zip", medium() | {name: edited})
    found = taken(store, export)
    assert (found.inserted, found.updated, found.deleted, found.unchanged) == (0, 1, 0, 1)


def test_raw_text_is_kept_letter_by_letter(tmp_path: Path, store: SqliteDocuments) -> None:
    text = "𝗕𝗼𝗹𝗱 and ﬁne, e\u0301 …\n\n    code  with   spaces\n"
    path = unpacked(tmp_path / "notes", {"a.md": text})
    taken(store, FolderSource(type="folder", path=str(path)))
    (document,) = store.documents("ada")
    assert document["text"] == text.strip("\n")
    assert json.loads(json.dumps(document)) == document


def test_works_that_grew_step_by_step_are_those_found_at_once(tmp_path: Path) -> None:
    """Files come, change and go at random; what is compared is only what changed."""
    rng = random.Random(11)
    folder = tmp_path / "notes"
    folder.mkdir()
    source = FolderSource(type="folder", path=str(folder))
    grown = SqliteDocuments(tmp_path / "grown.sqlite")

    def variant() -> str:
        base = words(rng.randrange(8), 4).split()
        for _ in range(rng.randrange(0, 14)):
            base[rng.randrange(len(base))] = rng.choice(["changed", "other", "new"])
        return " ".join(base)

    for step in range(25):
        for _ in range(3):
            (folder / f"{rng.randrange(40)}.md").write_text(variant())
        for path in rng.sample(sorted(folder.iterdir()), 1 if step % 3 == 0 else 0):
            path.unlink()
        taken(grown, source, allow_loss=True)
        fresh = SqliteDocuments(tmp_path / f"fresh-{step}.sqlite")
        taken(fresh, source)
        assert partition(grown) == partition(fresh)


def partition(store: SqliteDocuments) -> set[frozenset[str]]:
    groups: dict[str, set[str]] = {}
    leads = []
    for item in store.items("ada", "article"):
        groups.setdefault(item["work"], set()).add(item["id"])
        leads += [item["work"]] if item["lead"] else []
    assert sorted(leads) == sorted(groups)
    return {frozenset(ids) for ids in groups.values()}
