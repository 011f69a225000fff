import json
from pathlib import Path

import polars as pl
import pytest

from llmtwin_assets.datasets import formats, given, quality
from llmtwin_assets.datasets.export import UnknownFormatError, export
from llmtwin_assets.datasets.formats import FORMATS, BadDatasetFileError, Pair, lines, read
from llmtwin_assets.records import Document
from llmtwin_assets_tests.datasets.rows import frame, row

ROWS = [row(1, answer="One “line”.\n\nAnother, of naïve ink."), row(2)]
FACTS = {
    "rows": 3, "dropped": {"code": 2}, "code": "instruct-2", "figures": {"train": 2},
    "languages": {"train": {"en": 90, "": 3}, "held-out": {"en": 9}},
}  # fmt: skip
STORED = [
    {"source": "folder", "licence": "CC0-1.0"},
    {"source": "folder", "licence": "CC0-1.0"},
    {"source": "substack", "licence": None, "consent": "paid"},
]


@pytest.mark.parametrize("format_", FORMATS)
def test_what_is_written_is_read_back(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(lines(ROWS, format_)), "utf-8")
    asked = "" if format_ == "raw" else None
    pairs = [Pair(row.instruction if asked is None else asked, row.answer) for row in ROWS]
    assert read(path) == (pairs, [])
    listed = tmp_path / "rows.json"
    listed.write_text(json.dumps([json.loads(line) for line in lines(ROWS, format_)]), "utf-8")
    assert read(listed) == (pairs, [])


def test_our_table_other_parquet_and_plain_paragraphs_are_read(tmp_path: Path) -> None:
    frame(*ROWS).write_parquet(tmp_path / "ours.parquet")
    pairs = [Pair(row.instruction, row.answer) for row in ROWS]
    assert read(tmp_path / "ours.parquet") == (pairs, [])
    turns = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]
    pl.DataFrame({"conversations": [turns]}).write_parquet(tmp_path / "other.parquet")
    assert read(tmp_path / "other.parquet")[0] == [Pair("Why?", "So.")]
    (tmp_path / "a.txt").write_text("One.\n\n\n\nTwo\nlines.\n")
    assert read(tmp_path / "a.txt")[0] == [Pair("", "One."), Pair("", "Two\nlines.")]


def test_a_bad_record_costs_no_other(tmp_path: Path) -> None:
    bad = [
        "{cut", "[]", "3", "null", '{"instruction": "no answer"}', '{"output": 3}',
        '{"conversations": []}', '{"conversations": [{"from": "gpt", "value": "first"}]}',
        '{"messages": [{"role": "user", "content": null}, {"role": "assistant"}]}',
        '{"message_id": "x", "parent_id": null}',
    ]  # fmt: skip
    good = '{"instruction": "Sum up.", "input": "A long text.", "output": "Short."}'
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*bad, good, ""]))
    pairs, wrong = read(path)
    assert pairs == [Pair("Sum up.\n\nA long text.", "Short.")]
    assert len(wrong) == len(bad)
    assert wrong[0].startswith("record 1 ")


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", b"{"), ("a.jsonl", b"\xff\xfe\x00"), ("a.parquet", b"PAR1")]
)
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, name, content) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadDatasetFileError, match=name):
        read(tmp_path / name)


def test_further_answers_of_a_tree_and_turns_of_a_conversation_do_not_count(tmp_path: Path) -> None:
    tree = formats.oasst(ROWS[0])
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([*tree, tree[1] | {"message_id": "z", "text": "Other."}]))
    assert [pair.answer for pair in read(path)[0]] == [ROWS[0].answer]


def document(number: int, text: str) -> Document:
    return Document(
        id=f"d{number}", kind="article", url="", title="", published=None, text=text, search=text,
        raw_hash="", split="held-out" if number == 3 else "train",
    )  # fmt: skip


def test_an_answer_in_the_authors_words_is_the_authors_and_any_other_general(
    tmp_path: Path,
) -> None:
    documents = [document(1, "Before. " + ROWS[1].answer), document(3, "Kept apart, all of it.")]
    path = tmp_path / "rows.jsonl"
    others = [row(5), row(6, answer="Kept apart, all of it.")]
    path.write_text("".join(lines([ROWS[1], *others], "alpaca")))
    mine, general, held = given.rows(path, documents)[0]
    assert documents[0].text[mine.start : mine.end] == mine.answer
    assert (mine.origin, mine.document_id, mine.split) == ("author", "d1", "train")
    assert (held.origin, held.document_id, held.split) == ("author", "d3", "held-out")
    assert (general.origin, general.kind, general.split) == ("general", "general", "train")


def test_answers_are_found_where_they_first_stand_whatever_else_begins_like_them() -> None:
    first = "Größe zählt. Es war einmal ein Haus am See, das niemand kannte."
    documents = [document(1, first), document(2, f"Vorher. {first} Und dann kam der Herbst.")]
    inner, later = first[3:40], "Es war einmal ein Haus am See, das niemand kannte. Und dann"
    longer = first + " Und dann fiel Schnee."
    found = given.spans([first, inner, later, longer, "", "am", first], documents)
    assert {answer: (each.id, at) for answer, (each, at) in found.items()} == {
        first: ("d1", 0),
        inner: ("d1", 3),
        later: ("d2", documents[1].text.index(later)),
        "am": ("d1", first.index("am")),
    }
    assert given.spans([first], []) == given.spans([], documents) == {}


def test_text_without_an_instruction_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(ROWS[1].answer + "\n\n12 34")
    first, second = given.rows(path, [])[0]
    assert first.instruction.startswith("Write a paragraph about ")
    assert second.instruction == ""


def test_general_rows_are_a_share_at_most_and_the_best_stay() -> None:
    mine = [row(n) for n in range(8)]
    others = [row(20 + n, origin="general", answer=row(20 + n).answer[n * 9 :]) for n in range(5)]
    found = quality.capped(quality.judged(frame(*mine, *others), []), "general", 0.2)
    assert found.kept.filter(found.kept["origin"] == "general").height == 2
    assert "r20" in found.kept["id"]
    assert found.funnel == {"more general rows than 20%": 3}


def test_a_missing_file_of_pairs_is_refused(tmp_path: Path) -> None:
    assert given.file("", "ada") is None
    (tmp_path / "ada.jsonl").write_text("")
    assert given.file(str(tmp_path / "{author}.jsonl"), "ada") == tmp_path / "ada.jsonl"
    with pytest.raises(BadDatasetFileError, match=r"eve\.jsonl"):
        given.file(str(tmp_path / "{author}.jsonl"), "eve")


def test_a_folder_of_parquet_is_what_datasets_loads(tmp_path: Path) -> None:
    from datasets import load_dataset

    rows = frame(*ROWS, row(3, split="held-out"))
    counts = export(rows, "parquet", tmp_path / "ada", "Ada", "abc", FACTS, STORED)
    assert list(counts.values()) == [2, 1]
    loaded = load_dataset(str(tmp_path / "ada"), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {"train": 2, "held_out": 1}
    assert loaded["train"][0]["answer"] == ROWS[0].answer


def test_the_card_says_what_it_is_made_of_and_quotes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "ada.jsonl"
    rows = frame(*ROWS, row(3, split="held-out"))
    assert export(rows, "sharegpt", out, "Ada", "abc", FACTS, STORED) == {str(out): 2}
    card = (tmp_path / "ada.jsonl.README.md").read_text("utf-8")
    assert "| folder | 2 | CC0-1.0 | public |" in card
    assert "| substack | 1 | not stated | paid |" in card
    assert "| code | 2 |" in card
    assert "`abc`" in card
    assert 'language: ["en"]' in card
    assert ROWS[1].answer[:40] not in card


def test_an_unknown_format_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError, match=r"csv.*alpaca"):
        export(frame(), "csv", tmp_path / "x", "Ada", "abc", FACTS, STORED)
