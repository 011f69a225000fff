from llmtwin_assets import probes


def test_the_prose_is_plain_and_the_same_every_time() -> None:
    prose = probes.prose()
    assert prose == probes.prose()
    assert len(set(prose)) == probes.PARAGRAPHS
    assert all(text[0].isupper() and text.endswith(".") and "\n" not in text for text in prose)


def test_replies_that_follow_every_instruction_follow_them_all() -> None:
    replies = [
        "Yellow", "Yes, it is.", "- apples\n- pears\n- plums", "It is Paris.", "Five.",
        "The kettle is on the stove.", "HELLO", "Saturday and Sunday.",
        "Rain fell, and she opened an umbrella.", "Bonjour !", "First, boil the water.",
        "A vehicle with two wheels that you pedal.", "Cold", "1. Close it.\n2. Turn the key.",
        "An elephant.", "Done",
    ]  # fmt: skip
    assert probes.followed(replies) == 1.0


def test_replies_that_ramble_follow_almost_none() -> None:
    reply = "The powers of the government are few and defined, as has been said before, and so on."
    assert probes.followed([reply] * len(probes.INSTRUCTIONS)) == 0.0
    assert probes.followed([""] * len(probes.INSTRUCTIONS)) == 0.0
