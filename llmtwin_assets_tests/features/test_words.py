from llmtwin_assets.features.split import sentences
from llmtwin_assets.features.words import first_words, length

POEM = "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。"


def test_words_are_counted_as_a_reader_counts_them() -> None:
    assert length("The ship's crew, all of them, slept.") == 7
    assert length(POEM) == 20
    assert length("Python 的語法 is short.") == 6
    assert length("") == length(" \n ") == 0


def test_the_beginning_of_a_text_stays_as_it_stands() -> None:
    assert first_words("one  two\nthree, four", 3) == "one  two\nthree,"
    assert first_words(POEM, 5) == "床前明月光，"
    assert first_words(POEM, 0) == ""


def test_sentences_end_where_no_blank_follows() -> None:
    text = "他說：「你好！」然後走了。真的？！是的。"
    found = [text[start:end] for start, end in sentences(text)]
    assert found == ["他說：「你好！」", "然後走了。", "真的？！", "是的。"]
