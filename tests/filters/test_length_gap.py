from tests.filters.table import row, run, table


def test_a_gap_of_exactly_the_limit_is_kept_and_characters_are_not_bytes():
    """Gaps 3, 4, 4 the other way, and 3 characters that are 6 bytes."""
    pairs = table(
        [
            row("three", chosen="aaaa", rejected="b"),
            row("four", chosen="aaaaa", rejected="b"),
            row("minus four", chosen="b", rejected="aaaaa"),
            row("umlauts", chosen="äöüß", rejected="b"),
        ]
    )
    found = run({"use": "length_gap", "max_chars": 3}, pairs)
    assert found.reasons == {"three": None, "four": "gap", "minus four": "gap", "umlauts": None}
    assert found.details["minus four"] == "4 characters"


def test_the_papers_limit_is_the_default():
    pairs = table([row("at", chosen="a" * 3001, rejected="b"), row("over", chosen="a" * 3002, rejected="b")])
    assert run({"use": "length_gap"}, pairs).reasons == {"at": None, "over": "gap"}
