from tests.filters.table import row, run, table


def test_empty_and_equal_replies():
    pairs = table(
        [
            row("fine", original="plain"),
            row("no original"),
            row("chosen empty", chosen=""),
            row("rejected blank", rejected=" \n"),
            row("original empty", original=""),
            row("identical", chosen="same", rejected="same"),
            row("same but for spaces", chosen="the  same\n", rejected="the same"),
            row("same but for spelling", chosen="caf\u00e9", rejected="cafe\u0301"),
            row("differ in case", chosen="Same", rejected="same"),
            row("original is chosen", original="good "),
            row("original is rejected", original="bad"),
            row("both empty", chosen="", rejected=""),
        ]
    )
    assert run({"use": "degenerate"}, pairs).reasons == {
        "fine": None,
        "no original": None,
        "chosen empty": "empty_chosen",
        "rejected blank": "empty_rejected",
        "original empty": "empty_original",
        "identical": "identical",
        "same but for spaces": "identical",
        "same but for spelling": "identical",
        "differ in case": None,
        "original is chosen": "original_is_chosen",
        "original is rejected": "original_is_rejected",
        "both empty": "empty_chosen",
    }
