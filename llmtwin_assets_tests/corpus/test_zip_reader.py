"""Hostile archives: nothing written outside, nothing unbounded, nothing lost that is good."""

import os
import resource
import stat
import struct
import subprocess
import sys
import textwrap
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtwin_assets.corpus.reading import SourceMissingError, UnreadableItemError, how_many
from llmtwin_assets.corpus.zip_reader import HostileArchiveError, open_tree, read_file
from llmtwin_assets_tests.corpus.exports import FIRST, medium, medium_story, zipped
from llmtwin_assets_tests.corpus.reading_archives import listed
from resources.errors import LlmTwinError

STORY = medium_story("Evil", "<p>Evil words.</p>", "eeeeeeeeeeee")
NAME = "posts/2019-01-01_evil-eeeeeeeeeeee.html"


def named(name: str) -> Callable[[Path], None]:
    """An archive in which one member has this name."""

    def make(path: Path) -> None:
        zipped(path, medium())
        with zipfile.ZipFile(path, "a") as archive:
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is: the constructor would mend it
            archive.writestr(info, STORY)

    return make


def moded(mode: int) -> Callable[[Path], None]:
    """An archive in which one member is a link or a device."""

    def make(path: Path) -> None:
        zipped(path, medium())
        with zipfile.ZipFile(path, "a") as archive:
            info = zipfile.ZipInfo(NAME)
            info.create_system = 3
            info.external_attr = (mode | 0o777) << 16
            archive.writestr(info, "/etc/passwd")

    return make


def patched(change: Callable[[bytearray, int, int], None]) -> Callable[[Path], None]:
    """An archive whose last member's local and central headers are changed."""

    def make(path: Path) -> None:
        zipped(path, medium())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(NAME, STORY, zipfile.ZIP_STORED)
        data = bytearray(path.read_bytes())
        change(data, data.rindex(b"PK\x03\x04"), data.rindex(b"PK\x01\x02"))
        path.write_bytes(data)

    return make


def flagged(data: bytearray, local: int, central: int) -> None:
    data[local + 6] |= 1
    data[central + 8] |= 1


def of_method(method: int) -> Callable[[bytearray, int, int], None]:
    def change(data: bytearray, local: int, central: int) -> None:
        struct.pack_into("<H", data, local + 8, method)
        struct.pack_into("<H", data, central + 10, method)

    return change


def wrong_crc(data: bytearray, local: int, central: int) -> None:
    struct.pack_into("<L", data, local + 14, 1)
    struct.pack_into("<L", data, central + 16, 1)


def says_small(data: bytearray, local: int, central: int) -> None:
    struct.pack_into("<L", data, local + 22, 10)
    struct.pack_into("<L", data, central + 24, 10)


def says_large(data: bytearray, local: int, central: int) -> None:
    struct.pack_into("<L", data, local + 22, 0x7FFFFFFF)
    struct.pack_into("<L", data, central + 24, 0x7FFFFFFF)


def points_away(data: bytearray, local: int, central: int) -> None:
    struct.pack_into("<L", data, central + 42, len(data) + 1000)


def other_name_inside(data: bytearray, local: int, central: int) -> None:
    data[local + 30 : local + 32] = b"zz"


def twice(path: Path) -> None:
    zipped(path, medium())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(NAME, STORY)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(NAME, STORY.replace("Evil", "Other"))


def bomb(path: Path) -> None:
    zipped(path, medium())
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open(NAME, "w") as out,
    ):
        for _ in range(300):
            out.write(b" " * 2**20)


def nested(path: Path) -> None:
    inner = path.with_name("inner.bin")
    zipped(inner, {f"posts/2019-01-01_in-{n:012x}.html": STORY for n in range(10)})
    zipped(path, medium() | {"posts/more.zip": inner.read_bytes()})


def overlapping(path: Path) -> None:
    """Forty directory entries for the bytes of one member."""
    zipped(path, {NAME: STORY})
    data = path.read_bytes()
    begin = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = bytearray(data[begin:end])
    entries = bytearray()
    for number in range(40):
        entry[46 : 46 + len(NAME)] = NAME.replace("evil", f"ev{number:02d}").encode()
        entries += entry
    tail = bytearray(data[end:])
    struct.pack_into("<HHLL", tail, 8, 40, 40, len(entries), begin)
    path.write_bytes(data[:begin] + bytes(entries) + bytes(tail))


def quoted(path: Path) -> None:
    """One member's data covers the next member's local header."""
    zipped(path, medium())
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\x01\x02")
    struct.pack_into("<L", data, first + 20, struct.unpack_from("<L", data, first + 20)[0] + 500)
    path.write_bytes(data)


def cut(share: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        data = zipped(path, medium()).read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return make


def wide(path: Path) -> None:
    """A hundred thousand members."""
    zipped(path, medium())
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(100_000):
            archive.writestr(f"claps/{number}.html", b"")


def with_directory_of(size: int) -> Callable[[Path], None]:
    """A directory that says it is larger than any export's; sparse, so that it costs no disk."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)
            file.seek(size)
            file.write(struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 9, 9, size, 0, 0))

    return make


def broken_stream(path: Path) -> None:
    zipped(path, medium())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAME, STORY * 50)
        info = archive.getinfo(NAME)
    data = bytearray(path.read_bytes())
    at = info.header_offset + 30 + len(NAME)
    data[at + 20 : at + 60] = b"\xff" * 40
    path.write_bytes(data)


def in_utf8_disguise(path: Path) -> None:
    zipped(path, medium() | {"posts/2019-01-01_\u202egnp.exe-ffffffffffff.html": STORY})


# name -> (how it is made, whether the archive is refused as a whole)
HOSTILE: dict[str, tuple[Callable[[Path], None], bool]] = {
    "traversal": (named("../../../tmp/posts/2019-01-01_evil-eeeeeeeeeeee.html"), False),
    "traversal in the middle": (named("posts/../../2019-01-01_evil-eeeeeeeeeeee.html"), False),
    "traversal with backslashes": (named("..\\..\\posts\\evil-eeeeeeeeeeee.html"), False),
    "absolute": (named("/tmp/posts/2019-01-01_evil-eeeeeeeeeeee.html"), False),
    "absolute with backslash": (named("\\posts\\evil-eeeeeeeeeeee.html"), False),
    "drive": (named("C:/posts/2019-01-01_evil-eeeeeeeeeeee.html"), False),
    "dots alone": (named(".."), False),
    "symbolic link": (moded(stat.S_IFLNK), False),
    "device": (moded(stat.S_IFCHR), False),
    "named pipe": (moded(stat.S_IFIFO), False),
    "encrypted": (patched(flagged), False),
    "method bzip2": (patched(of_method(12)), False),
    "method lzma": (patched(of_method(14)), False),
    "method unknown": (patched(of_method(99)), False),
    "wrong checksum": (patched(wrong_crc), False),
    "size too small": (patched(says_small), False),
    "size too large": (patched(says_large), False),
    "points behind the end": (patched(points_away), False),
    "two names for one member": (patched(other_name_inside), False),
    "duplicate": (twice, False),
    "300 MB in 300 KB": (bomb, False),
    "zip in a zip": (nested, False),
    "broken stream": (broken_stream, False),
    "overlapping": (overlapping, True),
    "quoted": (quoted, True),
    "cut at a tenth": (cut(0.1), True),
    "cut at nine tenths": (cut(0.9), True),
    "empty file": (lambda path: path.write_bytes(b"") and None, True),
    "a directory of 100 MB": (with_directory_of(100 * 2**20), True),
    "a directory of 4 GB": (with_directory_of(4 * 2**30 - 100), True),
    "not a zip": (lambda path: path.write_bytes(b"PK" + os.urandom(5000)) and None, True),
    "right-to-left name": (in_utf8_disguise, False),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_zip_writes_nothing_and_loses_nothing_good(name: str, tmp_path: Path) -> None:
    make, refused = HOSTILE[name]
    path = tmp_path / "in" / "export.zip"
    path.parent.mkdir()
    make(path)
    before = {p: p.stat().st_size for p in tmp_path.rglob("*")}
    if refused:
        with pytest.raises(LlmTwinError, match=r"export\.zip"):
            listed(path)
    else:
        listing = listed(path)
        ids = {document.external_id for document in listing.documents}
        assert FIRST in ids
        assert len(ids - {"eeeeeeeeeeee", "ffffffffffff"}) == 2
        assert not any("root:" in document.text for document in listing.documents)
    assert {p: p.stat().st_size for p in tmp_path.rglob("*")} == before
    assert not Path("/tmp/posts").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("traversal", "leads out of the archive"),
        ("symbolic link", "a link or a device"),
        ("encrypted", "encrypted"),
        ("method lzma", "compressed as no export is"),
        ("wrong checksum", "damaged"),
        ("duplicate", "2 members have this name"),
        ("300 MB in 300 KB", "more than"),
        ("broken stream", "damaged"),
    ],
)
def test_a_refused_member_is_quarantined_with_its_reason(
    name: str, reason: str, tmp_path: Path
) -> None:
    HOSTILE[name][0](tmp_path / "export.zip")
    (said,) = listed(tmp_path / "export.zip").quarantined.values()
    assert reason in said


def test_a_hundred_thousand_members_are_survived(tmp_path: Path) -> None:
    wide(tmp_path / "export.zip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(listed(tmp_path / "export.zip").documents) == 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_many_refused_members_are_named_a_hundred_times_and_counted(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
        for number in range(500):
            archive.writestr(f"../{number}.html", b"x")
    with open_tree(tmp_path / "e.zip") as tree:
        assert len(tree.refused) == 101
        assert "and 400 more" in tree.refused
        assert how_many(tree.refused) == 500


def test_a_member_is_read_up_to_its_cap(tmp_path: Path) -> None:
    with open_tree(zipped(tmp_path / "e.zip", {"a": b"x" * 1000})) as tree:
        assert len(read_file(tree, "a", 1000)) == 1000
        with pytest.raises(UnreadableItemError, match="more than 999 bytes"):
            read_file(tree, "a", 999)


def test_links_out_of_an_unpacked_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text(STORY)
    (tmp_path / "export" / "posts").mkdir(parents=True)
    (tmp_path / "export" / "posts" / "2019-01-01_a-aaaaaaaaaaaa.html").write_text(
        medium_story("Mine", "<h3 class='graf--title'>Mine</h3><p>Mine.</p>", "aaaaaaaaaaaa")
    )
    os.symlink(tmp_path / "secret.html", tmp_path / "export" / NAME)
    listing = listed(tmp_path / "export")
    assert [d.title for d in listing.documents] == ["Mine"]
    assert "leaves the folder" in listing.quarantined[NAME]


@pytest.mark.parametrize("content", [b"", b"hello", b"{}", b"<rss></rss>", zlib.compress(b"x")])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(content)
    with pytest.raises(SourceMissingError, match=r"export\.json: it is no archive of"):
        listed(path)


def test_a_missing_archive_and_a_directory_too_large_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError, match="it is not there"):
        listed(tmp_path / "none.zip")
    with_directory_of(100 * 2**20)(tmp_path / "e.zip")
    with pytest.raises(HostileArchiveError, match="its directory has"):
        listed(tmp_path / "e.zip")


@pytest.mark.slow
def test_an_archive_of_two_gigabytes_streams_within_300_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    picture = os.urandom(2**20)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in medium().items():
            archive.writestr(name, content)
        for number in range(1000):
            archive.writestr(f"images/{number}.jpg", picture)
        body = "<p>" + "words of a long story " * 45_000 + "</p>"
        for number in range(1050):
            id_ = f"{number:012x}"
            story = medium_story(f"Story {number}", f"<h3>Story {number}</h3>{body}", id_)
            archive.writestr(f"posts/2019-01-01_Story-{id_}.html", story)
    assert path.stat().st_size > 2 * 10**9
    script = textwrap.dedent(
        f"""
        import re
        from pathlib import Path
        from llmtwin_assets.authors import ArchiveSource
        from llmtwin_assets.corpus import archives
        from llmtwin_assets.corpus.reading import Listing
        from llmtwin_assets_tests.corpus.sources import author, context
        seen = []
        listing = Listing(lambda document, stamp: seen.append(len(document.text)))
        source = ArchiveSource(type="archive", path={str(path)!r})
        archives.read(source, context(author=author()), listing)
        # Not getrusage: its peak counts what the parent held when it started this process.
        status = Path("/proc/self/status").read_text()
        print(len(seen), re.search(r"VmHWM:\\s+(\\d+)", status)[1])
        """
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    count, peak = map(int, out.stdout.split())
    assert count == 1052
    assert peak < 300 * 1024  # KiB
