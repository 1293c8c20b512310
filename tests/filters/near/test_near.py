"""Near-duplicates against the plain way: sets of word 5-grams compared by hand, every pair with every other."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.schema import MESSAGES
from filters.base import ROW
from filters.near.candidates import SketchTable, candidates
from filters.near.sketches import SHINGLE_SETS, bands, shingles, sketch
from filters.near.verified import SetFile
from filters.pair_words import PLACES, measured, pair_words
from filters.words import split_words
from tests.filters.table import row, run, table
from tests.pairs import pair, user

FIELDS = ("prompt", "chosen", "rejected")


def plain(texts):
    """The marked 5-grams of three texts; all words of a shorter text are one."""
    found = set()
    for place, words in zip(FIELDS, split_words(pl.Series(texts)).to_list(), strict=True):
        grams = [tuple(words[at : at + 5]) for at in range(max(1, len(words) - 4))] if words else []
        found |= {(place, gram) for gram in grams}
    return found


def jaccard(one, other):
    return len(one & other) / len(one | other) if one | other else 0.0


def frame(rows):
    """Pairs of three texts, each with a system message and an original beside them, which are not compared."""
    there = [([{"role": "system", "content": "s"}, user(p)], c, r, "o") for p, c, r in rows]
    return pl.DataFrame(there, schema={"prompt": MESSAGES, **dict.fromkeys(PLACES[1:], pl.String)}, orient="row")


def sketches(rows, threshold=0.8, num_perm=128):
    return frame(rows).select(measured({"sketch": sketch(threshold, num_perm)}).struct.unnest()).with_row_index(ROW)


def edges(rows, threshold=0.8, num_perm=128, order=None, **options):
    measures = sketches(rows, threshold, num_perm)
    numbers = measures[ROW] if order is None else pl.Series(ROW, order, pl.UInt32)
    return candidates(SketchTable(measures.lazy(), numbers), threshold, num_perm, **options)


WORDS = st.lists(st.sampled_from(["a", "b", "c", "Ä", "中", "don't"]), max_size=9).map(" ".join)


@settings(deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5))
def test_shingles_are_those_of_the_plain_way(rows):
    found = frame(rows).select(measured({"it": SHINGLE_SETS}).struct.unnest())["it"]
    sets = [set(one.to_list()) for one in found]
    expected = [plain(texts) for texts in rows]
    assert [len(one) for one in sets] == [len(one) for one in expected]
    for one, wanted in zip(sets, expected, strict=True):
        for other, also in zip(sets, expected, strict=True):
            assert len(one & other) == len(wanted & also)
    assert sum(shingles(some)[1].sum() for some in pair_words(frame(rows))) >= sum(len(one) for one in expected)


def noise(rng, words):
    return " ".join(f"w{number}" for number in rng.integers(0, 5000, words))


def changed(rng, text, words):
    """The text with a run of so many words replaced: 5-grams around them change."""
    parts = text.split()
    at = int(rng.integers(0, len(parts) - words))
    return " ".join([*parts[:at], *(f"n{n}" for n in rng.integers(0, 10**6, words)), *parts[at + words :]])


@pytest.fixture(scope="module")
def planted():
    """300 pairs; 150 have a copy with 1 to 9 words in a row of chosen replaced, 60 one with 60: over 0.9, below 0.7."""
    rng = np.random.default_rng(7)
    texts = [[noise(rng, size) for size in (30, 150, 120)] for _ in range(300)]
    near = [[p, changed(rng, c, int(rng.integers(1, 10))), r] for p, c, r in texts[:150]]
    far = [[p, changed(rng, c, 60), r] for p, c, r in texts[150:210]]
    return texts, near, far


def test_planted_near_duplicates_are_found_and_no_others(planted):
    texts, near, far = planted
    sets = [plain(one) for one in (*texts, *near, *far)]
    assert min(jaccard(sets[n], sets[300 + n]) for n in range(150)) > 0.9
    assert max(jaccard(sets[150 + n], sets[450 + n]) for n in range(60)) < 0.7
    rows = [
        row(f"{kind} {n}", *one)
        for kind, some in (("a", texts), ("near", near), ("far", far))
        for n, one in enumerate(some)
    ]
    found = run({"use": "duplicate", "near": True}, table(rows))
    assert found.step.reasons == {"near": 150}
    dropped = {tag for tag, reason in found.reasons.items() if reason}
    assert {tag.split()[1] for tag in dropped} == {str(n) for n in range(150)}
    assert not {tag for tag in dropped if tag.startswith("far")}
    by_id = dict(found.kept.select("pair_id", "tag").iter_rows())
    assert all(by_id[found.details[tag]].split()[1] == tag.split()[1] for tag in dropped)


def test_a_crowd_of_copies_leaves_one():
    rng = np.random.default_rng(3)
    text = [noise(rng, size) for size in (20, 200, 100)]
    rows = [row(str(n), text[0], changed(rng, text[1], 2), text[2]) for n in range(120)]
    assert run({"use": "duplicate", "near": True}, table(rows)).kept.height == 1


def test_what_all_pairs_share_makes_them_neither_alike_nor_slow():
    """A long system message is not compared; a long instruction is, and a row's candidates are still bounded."""
    rng = np.random.default_rng(1)
    shared = noise(rng, 260)
    texts = [[noise(rng, 25) for _ in FIELDS] for _ in range(250)]
    system = {"role": "system", "content": shared}
    spoken = table([{**pair([system, user(p)], c, r), "tag": str(n)} for n, (p, c, r) in enumerate(texts)])
    assert run({"use": "duplicate", "near": True}, spoken).rejected.is_empty()
    instructed = [[f"{shared} {p}", c, r] for p, c, r in texts]
    copies = [[p, changed(rng, c, 1), r] for p, c, r in instructed[:40]]
    both = [*instructed, *copies]
    found = edges(both)
    assert len(found.low) <= 4 * bands(0.8, 128)[0] * len(both)
    pairs = set(zip(found.low.tolist(), found.high.tolist(), strict=True))
    assert len({(n, 250 + n) for n in range(40)} & pairs) >= 39
    rows = [row(str(n), *one) for n, one in enumerate(both)]
    assert run({"use": "duplicate", "near": True}, table(rows)).rejected.height in (39, 40)


@pytest.mark.parametrize(("threshold", "num_perm"), [(0.8, 128), (0.5, 64), (0.95, 256), (0.1, 16)])
def test_bands_propose_the_pairs_at_the_threshold_wherever_they_can(threshold, num_perm):
    count, size = bands(threshold, num_perm)
    assert count * size <= num_perm
    assert 1 - (1 - threshold**size) ** count >= 0.99 or size == 1
    assert 1 - (1 - threshold ** (size + 1)) ** (num_perm // (size + 1)) < 0.99
    rows = [("p", "some words that make more than one run", "r")] * 2
    assert edges(rows, threshold, num_perm).rows().tolist() == [0, 1]


def test_no_rows_and_texts_without_words_are_no_duplicates():
    assert len(edges([]).rows()) == 0
    empty = [row("a", "?", "!", "."), row("b", "!", "?", "...")]
    assert run({"use": "duplicate", "near": True}, table(empty)).rejected.is_empty()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 4))
def test_bands_held_one_at_a_time_propose_what_all_of_them_do(seed, size, values):
    """Whatever order the rows have, in buckets of any size; all are alike enough."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, values, (size, bands(0.8, 128)[0])).astype(np.uint32)
    measured_ = np.concatenate([drawn, np.zeros((size, 32), np.uint32)], axis=1)

    def found(order, **options):
        kind = pl.Array(pl.UInt32, measured_.shape[1])
        rows = pl.DataFrame({"sketch": pl.Series(measured_, dtype=kind)}).with_row_index(ROW)
        table = SketchTable(rows.lazy(), pl.Series(ROW, order, pl.UInt32))
        return [side.tolist() for side in candidates(table, 0.8, 128, **options)]

    order = rng.permutation(size)
    whole = found(order)
    for held in (1, 2 * size, 7 * size):
        assert found(order, at_once=held) == whole
    # And the order is all that places mean: the rows in that order propose the same.
    measured_ = measured_[order]
    assert found(np.arange(size)) == whole


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 2**32 - 1), max_size=9).map(sorted), min_size=1, max_size=9), st.data())
def test_sets_are_read_as_they_were_written(tmp_path_factory, sets, data):
    """In whatever order and parts they were added, empty ones too; places need not follow each other."""
    order = data.draw(st.permutations(range(len(sets))))
    cut = data.draw(st.integers(0, len(sets)))
    with SetFile(tmp_path_factory.mktemp("sets") / "sets", np.arange(len(sets)) * 3 + 1) as file:
        for part in (order[:cut], order[cut:]):
            lists = pl.Series([sets[number] for number in part], dtype=pl.List(pl.UInt32))
            file.add(np.array(part, dtype=np.int64) * 3 + 1, lists)
        for number in order:
            assert file[3 * number + 1].tolist() == sets[number]
