from tokenizers import decoders

from llmtwin_assets.training.pieces import HALF, Pieces

TEXT = "Grüße, 世界 😀! It’s <|end|> fine."


def by_bytes(ids: list[int]) -> str:
    """A tokenizer whose tokens are single bytes, the worst case for streaming."""
    return bytes(ids).decode("utf-8", "replace")


def written(text: str, stops: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    """The pieces of a text whose tokens are its bytes, and whether it was stopped."""
    pieces = Pieces(by_bytes, stops)
    given = []
    for byte in text.encode():
        given.append(pieces.push(byte))
        if pieces.stopped:
            break
    given.append(pieces.rest())
    return given, pieces.stopped


def test_no_piece_ever_holds_half_a_character() -> None:
    given, _ = written(TEXT)
    assert "".join(given) == TEXT
    assert not any(HALF in piece for piece in given)
    assert "😀" in given


def test_half_a_character_at_the_end_is_dropped() -> None:
    pieces = Pieces(by_bytes)
    given = [pieces.push(byte) for byte in "ab😀".encode()[:-1]] + [pieces.rest()]
    assert "".join(given) == "ab"


def test_bytes_that_are_no_character_show_as_such_and_hold_nothing_up() -> None:
    pieces = Pieces(by_bytes)
    given = [pieces.push(byte) for byte in b"a\xff\xfe\xfd\xfcbc"] + [pieces.rest()]
    assert "".join(given) == f"a{HALF * 4}bc"


def test_text_before_a_stop_string_is_all_that_is_given() -> None:
    given, stopped = written("One. Two. STOP Three.", ("STOP",))
    assert ("".join(given), stopped) == ("One. Two. ", True)


def test_the_beginning_of_a_stop_string_is_held_back_until_it_is_none() -> None:
    given, stopped = written("aSTaSTOaS", ("STOP", "TAX"))
    assert ("".join(given), stopped) == ("aSTaSTOaS", False)
    assert given[1] == given[2] == ""  # "S" and "ST" might have begun it


def test_the_earliest_of_several_stop_strings_counts() -> None:
    given, stopped = written("one two three", ("three", "two"))
    assert ("".join(given), stopped) == ("one ", True)


def test_spaces_survive_a_tokenizer_that_strips_the_first() -> None:
    words = {1: "▁The", 2: "▁powers", 3: "▁dele", 4: "gated"}
    decoder = decoders.Metaspace()
    pieces = Pieces(lambda ids: decoder.decode([words[number] for number in ids]))
    assert "".join(pieces.push(number) for number in (1, 2, 3, 4)) == "The powers delegated"
