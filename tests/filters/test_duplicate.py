import polars as pl

from tests.filters.table import row, run, table

BASE = {"prompt": "What is  water?", "chosen": "Water is wet.", "rejected": "No idea"}


def test_pairs_that_differ_in_spacing_or_spelling_alone_are_one():
    pairs = table(
        [
            row("a", **BASE),
            row("spaces", **{**BASE, "chosen": " Water is\nwet.\n"}),
            row("spelling", **{**BASE, "rejected": "No i\u200dd\u0065a".replace("\u200d", "")}),
            row("wide", **{**BASE, "rejected": "Ｎｏ idea"}),
            row("case", **{**BASE, "chosen": "water is wet."}),
            row("joined", **{**BASE, "chosen": "Wateris wet."}),
            row("swapped", **{**BASE, "chosen": "No idea", "rejected": "Water is wet."}),
            row("shifted", prompt="What is water? Water", chosen="is wet.", rejected="No idea"),
        ]
    )
    found = run({"use": "duplicate"}, pairs)
    alike = {"a", "spaces", "spelling", "wide"}
    assert {tag for tag, reason in found.reasons.items() if reason} < alike
    assert len(alike & set(found.kept["tag"])) == 1
    assert set(found.kept["tag"]) - alike == {"case", "joined", "swapped", "shifted"}
    kept_id = found.kept.filter(pl.col("tag").is_in(alike))["pair_id"].item()
    assert set(found.rejected["detail"]) == {kept_id}
    assert set(found.rejected["reason"]) == {"exact"}


def test_the_lowest_id_is_kept_and_of_equal_ids_the_earliest_origin():
    pairs = table(
        [
            row("third", **BASE, iteration=3, method="sso"),
            row("unknown", **BASE),
            row("first", **BASE, iteration=1, method="sso"),
            row("other", **BASE, iteration=1, method="pbaa"),
        ]
    )
    for seed in range(4):
        assert run({"use": "duplicate"}, pairs.sample(fraction=1, shuffle=True, seed=seed)).kept["tag"].to_list() == [
            "other"
        ]


def test_rows_alike_in_everything_leave_one():
    pairs = pl.concat([table([row("same", **BASE)])] * 3)
    found = run({"use": "duplicate"}, pairs)
    assert (found.kept.height, found.rejected.height) == (1, 2)


def test_prompts_that_differ_in_roles_are_different():
    pairs = table([row("user", **BASE), row("system", **BASE)])
    turned = pairs.with_columns(
        prompt=pl.when(pl.col("tag") == "system")
        .then(pl.lit([{"role": "system", "content": BASE["prompt"]}], dtype=pairs.schema["prompt"]))
        .otherwise("prompt")
    )
    assert run({"use": "duplicate"}, turned).rejected.is_empty()


LONG = " ".join(f"word{number}" for number in range(200))


def test_one_word_in_two_hundred_is_a_near_duplicate_and_one_in_ten_is_not():
    """One word in 200 changed: Jaccard of the five-grams (196 - 5) / (196 + 5) = 0.95; every tenth leaves few."""
    sparse = " ".join(f"other{n}" if n % 10 == 0 else f"word{n}" for n in range(200))
    pairs = table(
        [
            row("a", chosen=LONG),
            row("one word", chosen=LONG.replace("word100 ", "changed ")),
            row("every tenth", chosen=sparse),
            row("exact", chosen=LONG + " "),
        ]
    )
    assert run({"use": "duplicate"}, pairs).rejected.height == 1
    found = run({"use": "duplicate", "near": True}, pairs)
    assert found.kept.height == 2
    assert "every tenth" in set(found.kept["tag"])
    assert sorted(found.rejected["reason"]) == ["exact", "near"]
    shuffled = run({"use": "duplicate", "near": True}, pairs.reverse())
    assert set(shuffled.kept["tag"]) == set(found.kept["tag"])
    strict = run({"use": "duplicate", "near": True, "threshold": 0.99}, pairs)
    assert strict.rejected["reason"].to_list() == ["exact"]


def test_of_near_duplicates_with_one_id_the_earliest_origin_is_kept():
    """Ids that are not ours may repeat: whatever the order of the rows, the first by _RANK stays."""
    texts = [LONG.replace(f"word{number} ", "changed ") for number in range(1, 7)]
    pairs = table([row(str(n), chosen=text, iteration=n, method="sso") for n, text in enumerate(texts)])
    pairs = pairs.with_columns(pair_id=pl.lit("the same"))
    for seed in range(3):
        mixed = pairs.sample(fraction=1, shuffle=True, seed=seed)
        assert run({"use": "duplicate", "near": True}, mixed).kept["tag"].to_list() == ["0"]


def test_near_duplicates_of_a_dropped_pair_alone_are_kept():
    """b resembles a and c resembles b, but c and a do not: whichever comes first by id, a kept pair is what counts."""
    words = LONG.split()
    chain = [words, words[:180] + [f"b{n}" for n in range(20)], words[:160] + [f"c{n}" for n in range(40)]]
    pairs = table([row(tag, chosen=" ".join(text)) for tag, text in zip("abc", chain, strict=True)])
    found = run({"use": "duplicate", "near": True, "threshold": 0.75}, pairs)
    by_id = dict(pairs.select("pair_id", "tag").iter_rows())
    for tag, detail in found.details.items():
        assert tag in found.kept["tag"] or by_id[detail] in found.kept["tag"]


def test_short_texts_have_one_shingle():
    pairs = table([row("a", prompt="x", chosen="y", rejected="z"), row("b", prompt="x", chosen="y", rejected="w")])
    assert run({"use": "duplicate", "near": True}, pairs).rejected.is_empty()


def turned(tag, pair, **columns):
    """The same two replies, preferred the other way."""
    return row(tag, **{**pair, "chosen": pair["rejected"], "rejected": pair["chosen"]}, **columns)


def test_contradictions_are_counted_and_kept_with_a_flag_or_both_dropped():
    """a and b prefer each other's rejected reply; b stands there twice; c has another prompt and contradicts nobody."""
    pairs = table(
        [
            row("a", **BASE),
            turned("b", BASE),
            turned("b again", {**BASE, "chosen": " Water is  wet."}, iteration=2),
            turned("c", {**BASE, "prompt": "What is ice?"}),
            row("d", prompt="same", chosen="one", rejected="one"),
        ]
    )
    ids = dict(pairs.select("tag", "pair_id").iter_rows())
    kept = run({"use": "duplicate"}, pairs)
    (bs,) = {"b", "b again"} & set(kept.kept["tag"])
    assert set(kept.kept["tag"]) == {"a", bs, "c", "d"}
    flags = dict(kept.kept.select("tag", "flags").iter_rows())
    assert flags == {
        "a": f"duplicate: contradicts {ids[bs]}",
        bs: f"duplicate: contradicts {ids['a']}",
        "c": None,
        "d": None,
    }
    assert kept.step.flags == {"contradiction": 2}
    assert kept.step.reasons == {"exact": 1}
    dropped = run({"use": "duplicate", "contradictions": "drop"}, pairs)
    assert set(dropped.kept["tag"]) == {"c", "d"}
    assert dropped.step.reasons == {"contradiction": 2, "exact": 1}
    assert dropped.details["a"] == ids[bs]


def test_a_contradiction_is_no_near_duplicate():
    long = {"prompt": "What is water?", "chosen": LONG, "rejected": LONG.replace("word", "other")}
    pairs = table([row("a", **long), turned("b", long)])
    assert run({"use": "duplicate", "near": True}, pairs).rejected.is_empty()
