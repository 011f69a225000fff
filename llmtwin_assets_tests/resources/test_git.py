"""Repositories that are fetched from a real server, and addresses that are not."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from llmtwin_assets_tests.git_server import ADA, BOB, GitSite, Work
from llmtwin_assets_tests.website import Page, Website, canary, guard
from resources.addresses import ForbiddenAddressError, Guard
from resources.errors import LlmTwinError
from resources.git import (
    Age,
    ForbiddenRepositoryError,
    RepositoryUnreachableError,
    RepositoryUnreadableError,
    copy,
    fetch,
    remote_head,
)

# What is no plain https address of the public internet. {port} is the canary's, {marker} a file
# that a command in the address would make.
ADDRESSES = [
    "--upload-pack=touch {marker}",
    "-u touch {marker}",
    "--config=core.sshCommand=touch {marker}",
    "--",
    "ext::sh -c 'touch% {marker}'",
    "ext::touch {marker}",
    "fd::17/foo",
    "file:///etc",
    "file://{home}/work",
    "/etc",
    "{home}/work",
    "../work",
    "~/work",
    "ssh://127.0.0.1:{port}/x.git",
    "git@127.0.0.1:x.git",
    "ssh://-oProxyCommand=touch%20{marker}/x",
    "git://127.0.0.1:{port}/x.git",
    "ftp://127.0.0.1:{port}/x.git",
    "http://127.0.0.1:{port}/x.git",
    "https://127.0.0.1:{port}/x.git",
    "https://[::1]:{port}/x.git",
    "https://ada:secret@127.0.0.1:{port}/x.git",
    "https://2130706433:{port}/x.git",
    "https://127.0.0.1:{port}/x.git\n--upload-pack=touch {marker}",
    "https::https://127.0.0.1:{port}/x.git",
]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work")


def test_there_are_twenty_five_of_them() -> None:
    assert len(set(ADDRESSES)) == 25


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_runs_a_command_reads_a_file_or_reaches_a_private_host(
    tmp_path: Path, work: Work, address: str
) -> None:
    work.commit(README_dot_md="hello")
    marker = tmp_path / "marker"
    with canary() as bird:
        url = address.format(port=bird.port, marker=marker, home=tmp_path)
        for ask in (lambda: fetch(url, tmp_path / "copy", Guard()), lambda: remote_head(
            url, Guard()
        )):  # fmt: skip
            with pytest.raises((ForbiddenRepositoryError, ForbiddenAddressError)) as refused:
                ask()
            assert "secret" not in str(refused.value)
        assert bird.connections == 0
    assert not marker.exists()
    assert not (tmp_path / "copy").exists()


def test_a_server_that_redirects_to_a_private_host_reaches_nobody(tmp_path: Path) -> None:
    with canary() as bird, Website({}) as site:
        target = f"http://127.0.0.1:{bird.port}/x.git/info/refs?service=git-upload-pack"
        for path in ("/x.git/info/refs?service=git-upload-pack", "/x.git/info/refs"):
            site.pages[path] = Page(status=302, headers={"Location": target})
        with pytest.raises(RepositoryUnreachableError, match="not on the public internet"):
            fetch(site.url("/x.git"), tmp_path / "copy", guard(site))
        with pytest.raises(RepositoryUnreachableError, match="not on the public internet"):
            remote_head(site.url("/x.git"), guard(site))
        assert bird.connections == 0


@pytest.mark.parametrize("dumb", [False, True])
def test_a_repository_is_fetched_with_its_history_and_brought_up_to_date(
    tmp_path: Path, work: Work, dumb: bool
) -> None:
    first = work.commit(ADA, a_dot_py="def f():\n\treturn  1\n", README_dot_md="hello\n")
    second = work.commit(BOB, a_dot_py="def f():\n\treturn  1\nx = 2\n")
    with GitSite(tmp_path / "served", dumb) as site:
        url = site.publish(work)
        assert remote_head(url, guard(site)) == second
        repository = fetch(url, tmp_path / "copies" / "one", guard(site))
        assert repository.head() == second
        assert repository.hands(second) == {ADA, BOB}
        sizes = {file.path: file.size for file in repository.files(second)}
        assert sizes == {"a.py": 26, "README.md": 6}
        lines = [(line.name, line.text) for line in repository.blame(second, "a.py")]
        assert lines == [
            ("Ada Writer", b"def f():\n"), ("Ada Writer", b"\treturn  1\n"),
            ("Bob Other", b"x = 2\n"),
        ]  # fmt: skip
        ages = repository.ages(second)
        assert ages["a.py"] == Age(1_700_086_400, 1_700_172_800)
        assert ages["README.md"] == Age(1_700_086_400, 1_700_086_400)
        third = work.commit(ADA, b_dot_py="y = 3\n")
        site.publish(work)
        repository = fetch(url, tmp_path / "copies" / "one", guard(site))
        assert repository.head() == third
        work.git("reset", "--quiet", "--hard", first)
        site.publish(work)
        assert fetch(url, tmp_path / "copies" / "one", guard(site)).head() == first
        assert len(list((tmp_path / "copies").iterdir())) == 1


def test_files_over_a_mebibyte_stay_where_they_are(tmp_path: Path, work: Work) -> None:
    work.commit(large=os.urandom(3_000_000), was_large=os.urandom(2_000_000).hex())
    head = work.commit(was_large="small by now\n", fine="fine\n")
    with GitSite(tmp_path / "served") as site:
        repository = fetch(site.publish(work), tmp_path / "copy", guard(site))
        sizes = {file.path: file.size for file in repository.files(head)}
        assert sizes == {"large": None, "was_large": 13, "fine": 5}
        with pytest.raises(RepositoryUnreadableError, match="older version of it is over 1 MiB"):
            repository.blame(head, "was_large")
        before = len(site.seen)
        blobs = [file.blob for file in repository.files(head) if file.size]
        assert sorted(data for _, data in repository.blobs(blobs)) == [b"fine\n", b"small by now\n"]
        assert len(site.seen) == before  # reading asks nobody
    stored = sum(path.stat().st_size for path in (tmp_path / "copy").rglob("*") if path.is_file())
    assert stored < 500_000


def test_hooks_links_filters_and_submodules_do_not_come_to_life(tmp_path: Path, work: Work) -> None:
    marker = tmp_path / "marker"
    work.put(".gitattributes", "*.txt filter=evil diff=evil\n")
    work.put(".gitmodules", f'[submodule "x"]\n path = x\n url = ext::touch {marker}\n')
    work.put("a.txt", "text\n")
    os.symlink("/etc/passwd", work.folder / "link.txt")
    work.git("add", "--all")
    work.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
    work.commit()
    with GitSite(tmp_path / "served") as site:
        url = site.publish(work)
        template = tmp_path / "templates" / "hooks"
        template.mkdir(parents=True)
        hook = template / "reference-transaction"
        hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
        hook.chmod(hook.stat().st_mode | stat.S_IEXEC)
        os.environ["GIT_TEMPLATE_DIR"] = str(template.parent)
        try:
            repository = fetch(url, tmp_path / "copy", guard(site))
        finally:
            del os.environ["GIT_TEMPLATE_DIR"]
    paths = {file.path for file in repository.files(repository.head())}
    assert paths == {".gitattributes", ".gitmodules", "a.txt"}
    assert repository.blame(repository.head(), "a.txt")
    assert not (tmp_path / "copy" / "hooks").exists()
    assert not marker.exists()


def test_nothing_of_the_users_configuration_and_credentials_is_used(
    tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.commit(a="a\n")
    home = tmp_path / "home"
    home.mkdir()
    marker = tmp_path / "marker"
    helper = f"!touch {marker}; echo username=ada; echo password=secret"
    config = (
        f'[credential]\n helper = "{helper}"\n[http]\n extraHeader = "Authorization: secret"\n'
        '[url "http://evil.invalid/"]\n insteadOf = http://127.0.0.1\n'
    )
    (home / ".gitconfig").write_text(config)
    monkeypatch.setenv("HOME", str(home))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "http.extraHeader")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "X-Secret: secret")
    with GitSite(tmp_path / "served") as site:
        assert fetch(site.publish(work), tmp_path / "copy", guard(site)).head()
        assert not any("secret" in str(seen.headers) for seen in site.seen)
        assert all(seen.headers.get("authorization") is None for seen in site.seen)
    closed = Page("", 401, {"WWW-Authenticate": 'Basic realm="x"'})
    with Website({"/x.git/info/refs?service=git-upload-pack": closed}) as site:
        with pytest.raises(RepositoryUnreachableError, match="git could not fetch it"):
            fetch(site.url("/x.git"), tmp_path / "other", guard(site))
        assert len(site.seen) == 1
    assert not marker.exists()


@pytest.mark.parametrize("status", [404, 500, 200])
def test_what_is_no_repository_says_so_and_leaves_nothing(tmp_path: Path, status: int) -> None:
    path = "/x.git/info/refs?service=git-upload-pack"
    said = pytest.raises(RepositoryUnreachableError, match="could not fetch it")
    with Website({path: Page("<html>", status)}) as site, said:
        fetch(site.url("/x.git"), tmp_path / "copies" / "one", guard(site))
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_repository_without_commits_says_so(tmp_path: Path, work: Work) -> None:
    with pytest.raises(LlmTwinError, match=r"could not fetch|no commits"):
        copy(work.folder, tmp_path / "copy").head()
    with pytest.raises(RepositoryUnreachableError, match=r"authors\.yaml"):
        copy(tmp_path / "nowhere", tmp_path / "copy")


def test_a_repository_on_this_machine_is_copied_without_its_configuration(
    tmp_path: Path, work: Work
) -> None:
    marker = tmp_path / "marker"
    head = work.commit(a="a\n")
    work.git("config", "core.fsmonitor", f"touch {marker}")
    work.git("config", "uploadpack.packObjectsHook", f"touch {marker};")
    assert copy(work.folder, tmp_path / "copy").head() == head
    assert "fsmonitor" not in (tmp_path / "copy" / "config").read_text()
    assert not marker.exists()


def test_a_mailmap_does_not_give_one_hand_the_lines_of_another(tmp_path: Path, work: Work) -> None:
    work.commit(BOB, a="one\n")
    head = work.commit(BOB, _dot_mailmap="Ada Writer <ada@example.org> <bob@example.org>\n")
    repository = copy(work.folder, tmp_path / "copy")
    assert repository.hands(head) == {BOB}
    assert [line.email for line in repository.blame(head, "a")] == [BOB[1]]


def test_paths_are_read_as_they_are(tmp_path: Path, work: Work) -> None:
    for name in ("ä b.py", 'quo"te.py', "--help", ":(top)x", "new\nline"):
        work.put(name, "x = 1\n")
    head = work.commit()
    repository = copy(work.folder, tmp_path / "copy")
    paths = {file.path for file in repository.files(head)}
    assert paths == {"ä b.py", 'quo"te.py', "--help", ":(top)x", "new\nline"}
    assert set(repository.ages(head)) == paths
    for path in paths:
        assert len(repository.blame(head, path)) == 1


def test_no_git_process_is_left_behind(tmp_path: Path, work: Work) -> None:
    work.commit(a="a\n")
    repository = copy(work.folder, tmp_path / "copy")
    for _ in repository.blobs(file.blob for file in repository.files(repository.head())):
        break
    out = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in out
