import json
import os
import stat
import threading
from pathlib import Path

import pytest

from llmtwin_assets.serving.keys import (
    Keys,
    KeysFileError,
    UnknownKeyError,
    create_key,
    list_keys,
    revoke_key,
)


def test_a_key_opens_its_author_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ada, _ = create_key(path, "ada", "Ada's notebook")
    every, _ = create_key(path, None, "the operator")
    keys = Keys(path)
    assert (caller := keys.caller(ada))
    assert (caller.may("ada"), caller.may("byron"), caller.may("")) == (True, False, False)
    assert (operator := keys.caller(every))
    assert operator.may("byron")
    assert keys.caller("lt_wrong") is None
    assert keys.caller("") is None
    assert keys.caller(ada + " ") is None


def test_the_file_holds_no_key_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "home" / "keys.json"
    token, key = create_key(path, "ada", "  label ")
    assert token.startswith("lt_")
    assert len(token) >= 3 + 43
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (key.label, key.author) == ("label", "ada")
    assert key.created.endswith("+00:00")
    assert list_keys(path) == [key]


def test_a_revoked_key_opens_nothing_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = Keys(path)
    token, key = create_key(path, None, "x")
    assert keys.caller(token)
    assert revoke_key(path, key.id) == key
    assert keys.caller(token) is None
    with pytest.raises(UnknownKeyError, match=key.id):
        revoke_key(path, key.id)


def test_keys_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    threads = [threading.Thread(target=create_key, args=(path, None, str(n))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.label for key in list_keys(path)} == {str(n) for n in range(20)}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": [{"id": 1}]}', '{"keys": 3}'])
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(KeysFileError, match="cannot be read"):
        Keys(path).all()


def test_a_file_that_changed_within_a_second_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = Keys(path)
    tokens = [create_key(path, None, str(n))[0] for n in range(3)]
    assert all(keys.caller(token) for token in tokens)
    content = json.loads(path.read_text())
    state = path.stat()
    create_key(path, None, "later")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert len(keys.all()) == len(content["keys"]) + 1
