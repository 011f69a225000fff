"""Nothing of others that must not be known leaves cleaning: six hundred planted items."""

import random

from llmtwin_assets import masking
from llmtwin_assets.features import chunk, documents
from llmtwin_assets.records import Document, from_frame
from llmtwin_assets_tests.test_masking import KINDS, SENTENCES
from llmtwin_assets_tests.writing import paragraph


def raw(text: str, **fields) -> dict:
    return {
        "id": "doc", "kind": "article", "url": "https://ada.example/a", "title": "T",
        "published": None, "text": text, "hash": "h", **fields,
    }  # fmt: skip


def planted() -> list[tuple[str, str, str]]:
    """(kind, item, text it was planted in), a hundred of each kind."""
    rng = random.Random(10)
    found = []
    for kind, (make, _, _) in KINDS.items():
        for number in range(100):
            item = make(rng)
            line = SENTENCES[number % len(SENTENCES)].format(item)
            found.append((kind, item, f"{paragraph(rng)}\n\n{line}\n\n{paragraph(rng)}"))
    return found


def test_six_hundred_planted_items_are_in_no_text_and_no_chunk() -> None:
    missed: dict[str, int] = dict.fromkeys(KINDS, 0)
    for kind, item, text in planted():
        told = item.split(" ", 1)[1] if item.startswith(("tel.", "phone:", "SSN")) else item
        document = documents.cleaned(raw(text))
        chunks = chunk.chunks_of("ada", [document], 60, lambda ts: [len(t.split()) for t in ts])
        shown = [document.text, document.search, *(c.text for c in chunks)]
        missed[kind] += any(told in each for each in shown) or not document.masked
    print({kind: 1 - count / 100 for kind, count in missed.items()})
    for kind, (_, _, least) in KINDS.items():
        assert 1 - missed[kind] / 100 >= least, missed


def test_an_address_in_letters_of_another_shape_is_masked() -> None:
    bold = "".join(chr(0x1D5EE + ord(c) - 97) if c.islower() else c for c in "write")
    document = documents.cleaned(raw(f"{bold} ｊａｎｅ＠ｍａｉｌ．example today\n\n{bold} on."))
    assert masking.EMAIL in document.text
    assert "ｍａｉｌ" not in document.text
    assert document.text.endswith(f"{bold} on.")
    assert masking.EMAIL in document.search


def test_masking_is_not_a_loss_of_cleaning_and_the_authors_name_and_links_stay() -> None:
    text = "I am Ada Writer, at https://ada.example/about?x=1#me. Write to ada@mail.example."
    row = raw(text)
    now = documents.refresh({"doc": "h"}, lambda _: [row])
    assert now.kept_share == 1.0
    (document,) = from_frame(Document, now.documents)
    assert document.text == text.replace("ada@mail.example", masking.EMAIL)
    assert document.masked == 1


def test_secrets_in_a_source_file_go_before_it_is_a_document() -> None:
    code = '```python\nKEY = "sk-abcdefghij1234567890"\npassword = "hunter2xyz9"\n```'
    document = documents.cleaned(raw(code, kind="repository", language="python"))
    assert document.masked == 2
    assert "hunter2xyz9" not in document.text
    assert "sk-abc" not in document.text
    assert document.language == "python"


def test_each_document_has_its_language() -> None:
    texts = {
        "en": "The sea was calm that morning, and the ships lay still in the harbour.",
        "fr": "La mer était calme ce matin-là, et les bateaux restaient dans le port.",
        "de": "Das Meer war ruhig an diesem Morgen, und die Schiffe lagen still im Hafen.",
    }
    for code, text in texts.items():
        assert documents.cleaned(raw(text)).language == code
    assert documents.cleaned(raw("42")).language is None
    assert documents.cleaned(raw("42", language="en")).language == "en"
