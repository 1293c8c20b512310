"""Confounds: traits that predict chosen, by hand; their intervals; and no more false alarms than they promise."""

from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.confounds import KINDS, SAMPLE, SCHEMA, TRAITS, confounds, paired_limit, sentences
from filters.languages import SCRIPTS, WORDS, language


def frame(chosen, rejected, **columns):
    return pl.LazyFrame({"chosen": chosen, "rejected": rejected, **columns})


def row(table, name):
    return table.row(by_predicate=pl.col("name") == name, named=True)


def test_a_marker_in_most_of_chosen_and_fewer_of_rejected_is_said():
    """Of 100 pairs 96 chosen and 64 rejected think, 62 of them both: 34 chosen alone, 2 rejected alone."""
    thinks = [(True, True)] * 62 + [(True, False)] * 34 + [(False, True)] * 2 + [(False, False)] * 2
    said = [[f"{'<think>so</think>' if one[side] else 'so....'} it is" for one in thinks] for side in (0, 1)]
    table = confounds(frame(*said))
    found = row(table, "<think>")
    assert (found["chosen"], found["rejected"], found["n"]) == (pytest.approx(0.96), pytest.approx(0.64), 100)
    assert found["difference"] == pytest.approx(0.32)
    assert 0 < found["low"] < 0.32 < found["high"] < 0.6
    (said,) = (one for one in sentences(table) if one.startswith("`<think>` in 96 % of chosen and 64 % of rejected"))
    assert said.endswith("points, told from 100 pairs)")
    assert table.schema == SCHEMA


EXAMPLES = {
    "markdown": ("a **bold** claim", "2 ** 3 ** 4"),
    "list": ("so:\n- one\n- two", "so - one"),
    "code": ("call `f`", "it's"),
    "<think>": ("<think>hm</think> yes", "think of it"),
    "template_marker": ("<|im_start|>user", "a <b> tag"),
    "end_token": ("yes</s>", "yes"),
    "refusal": ("I'm sorry, but I can't help with that.", "I am sorry to hear that you are ill."),
    "trailing_space": ("yes \n", " yes"),
    "language": ("der die das und ist nicht", "the end and that with you"),
    "first_word": ("Sure, here it is", "Here it is"),
}


@pytest.mark.parametrize("name", [*TRAITS, *KINDS])
def test_each_trait_is_found_where_it_is_and_nowhere_else(name):
    having, lacking = EXAMPLES[name]
    table = confounds(frame([having] * 40, [lacking] * 40))
    found = [one for one in table.iter_rows(named=True) if one["name"].partition(":")[0] == name]
    assert {(one["chosen"], one["rejected"]) for one in found} - {(0.0, 1.0)} == {(1.0, 0.0)}
    assert len(found) == (2 if name in KINDS else 1)
    assert found[0]["name"] in {one["name"] for one in table.iter_rows(named=True) if abs(one["low"]) > 0.5}


def test_a_value_beside_none_is_a_difference_and_intervals_hold_for_all_that_differ():
    """Length and first word differ, and trailing space does not: each interval holds by 1 - 0.05 / 2, z 2.241403."""
    found = row(confounds(frame(["Sure! "] * 40, ["?! "] * 40)), "first_word: Sure")
    forty, none = np.array([40.0]), np.array([0.0])
    assert found["low"] == pytest.approx(paired_limit(forty, none, forty, 2.241403)[0], abs=1e-6)


def test_how_often_the_longer_reply_is_chosen_is_said():
    """Three of four pairs of unequal length; the equal one counts on neither side."""
    table = confounds(frame(["long", "long", "long", "b", "cc"], ["a", "a", "a", "long", "dd"]))
    found = row(table, "length")
    assert (found["chosen"], found["rejected"], found["n"]) == (pytest.approx(3 / 5), pytest.approx(1 / 5), 5)
    many = confounds(frame(["go on"] * 90 + ["go"] * 10, ["go a"] * 100))
    assert sentences(many)[0].startswith("the longer reply is chosen in 90 % of pairs and rejected in 10 %")


def score(first, second, n, difference):
    """Tango's statistic with the likelihood maximised by trying: the share of `second` alone that suits best."""
    shares = np.linspace(max(0, -difference), (1 - difference) / 2, 2_000_001)[1:-1]
    rest = 1 - 2 * shares - difference
    likelihood = first * np.log(shares + difference) + second * np.log(shares) + (n - first - second) * np.log(rest)
    best = shares[np.argmax(likelihood)]
    return (first - second - n * difference) / np.sqrt(n * (2 * best + difference * (1 - difference)))


@pytest.mark.parametrize(("first", "second", "n"), [(12, 2, 50), (40, 90, 300), (7, 7, 20)])
def test_the_score_is_z_at_the_ends_of_the_interval(first, second, n):
    counts = [np.array([float(one)]) for one in (first, second, n)]
    for z in (1.96, -1.96, 3.1):
        assert score(first, second, n, paired_limit(*counts, z)[0]) == pytest.approx(z, abs=1e-3)


def test_no_interval_of_a_whole_sample_is_wider_than_five_points():
    """The widest is that of a trait which is in every pair on one side, as often on either; 60 are compared at most."""
    z = NormalDist().inv_cdf(1 - 0.05 / 2 / 60)
    half, n = np.array([SAMPLE / 2]), np.array([float(SAMPLE)])
    assert paired_limit(half, half, n, -z)[0] - paired_limit(half, half, n, z)[0] < 0.05


def test_extreme_counts_stay_within_their_bounds():
    first, second, n = (np.array(one, dtype=float) for one in ((5, 0, 0, 1), (0, 5, 0, 0), (5, 5, 5, 1)))
    low, high = paired_limit(first, second, n, 1.96), paired_limit(first, second, n, -1.96)
    observed = (first - second) / n
    assert (low <= observed + 1e-9).all()
    assert (observed <= high + 1e-9).all()
    assert (np.abs([low, high]) <= 1).all()
    assert low[2] == pytest.approx(-high[2])


def random_pairs(rng, prompts, each):
    """Replies by draws that know nothing of their side; every pair of a prompt has the same two openings."""
    words = np.array(["Sure", "Well", "No", "**Yes**", "- one", "`x`", "<think>", "the and that", "der die das"])
    openings = [np.repeat(rng.choice(words, prompts), each) for _ in range(2)]
    ends = [rng.choice(["", ".", " ", "</s>", " and so on"], prompts * each) for _ in range(2)]
    texts = [[f"{a} it is{b}" for a, b in zip(*both, strict=True)] for both in zip(openings, ends, strict=True)]
    return frame(*texts, prompt_id=np.repeat(np.arange(prompts), each).astype(str))


def test_chance_alone_is_seldom_taken_for_a_confound():
    """At 95 % for all traits together, 2 or 3 of 50 tables have any; more than 8 would be one such test in 1,000."""
    rng = np.random.default_rng(5)
    tables = [random_pairs(rng, *shape) for shape in ((150, 1), (60, 5)) for _ in range(25)]
    assert sum(bool(sentences(confounds(pairs))) for pairs in tables) <= 8


def test_pairs_of_one_prompt_are_not_many_witnesses():
    """Ten prompts whose one chosen opens with Sure, each paired with twenty rejected: ten draws, not two hundred."""
    chosen = [f"Sure {n}" if n < 8 else f"Well {n}" for n in range(10) for _ in range(20)]
    rejected = [f"Well {n}" if n < 8 else f"Sure {n}" for n in range(10) for _ in range(20)]
    together = confounds(frame(chosen, rejected, prompt_id=[str(n) for n in range(10) for _ in range(20)]))
    assert sentences(together) == []
    assert len(sentences(confounds(frame(chosen, rejected)))) == 2
    turns = frame(["Sure", "Well"] * 20, ["Well", "Sure"] * 20)
    held = confounds(turns.with_columns(prompt_id=(pl.int_range(40) // 2).cast(pl.String)))
    assert held.equals(confounds(turns)), "pairs that differ more than chance has it are no more witnesses"


def test_pairs_without_a_reply_are_left_out_and_no_pairs_give_no_rows():
    assert set(confounds(frame(["a `b`", None, "a"], ["c", "d", None]))["n"]) == {1}
    assert confounds(frame(pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.String))).is_empty()
    assert sentences(confounds(frame([None], ["a"]).cast(pl.String))) == []


def test_a_sample_is_drawn_by_content():
    texts = [f"Sure {n}" for n in range(4000)]
    pairs = frame(
        texts,
        [f"No {n}" for n in range(4000)],
        pair_id=[f"{n * 0x9E3779B97F4A7C15 % 2**128:032x}" for n in range(4000)],
    )
    for known in (pairs, pairs.drop("pair_id")):
        some = confounds(known, sample=1000)
        assert 850 < some["n"][0] < 1150
        assert some.equals(confounds(known.reverse(), sample=1000))
    assert confounds(pairs, sample=None)["n"][0] == 4000


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.none() | st.text(st.characters(codec="utf-8"), max_size=30)] * 2), max_size=12))
def test_whatever_the_texts_the_difference_lies_in_its_interval(pairs):
    sides = [pl.Series([one[side] for one in pairs], dtype=pl.String) for side in (0, 1)]
    table = confounds(frame(*sides))
    assert table.filter(~pl.col("difference").is_between(pl.col("low") - 1e-9, pl.col("high") + 1e-9)).is_empty()
    assert table.filter(pl.any_horizontal(pl.col(pl.Float64).is_nan())).is_empty()


TEXTS = {
    "English": "This is what you asked for, and it works with the rest of that.",
    "German": "Das ist nicht die Antwort, und sie passt zu der Frage.",
    "French": "Voici les raisons pour lesquelles une réponse est utile dans le texte.",
    "Spanish": "Esta es una respuesta para los que preguntan por el tiempo.",
    "Portuguese": "Não é uma resposta para os alunos em Lisboa do curso.",
    "Italian": "Questa è una risposta che non parla della domanda per il corso.",
    "Dutch": "Het is een vraag van de leraar en niet voor dat boek.",
    "Chinese": "这是一个关于秋天的回答。",
    "Japanese": "これは秋についての短い回答です。",
    "Korean": "이것은 가을에 대한 답변입니다.",
    "Cyrillic": "Это короткий ответ на вопрос.",
    "Arabic": "هذه إجابة قصيرة",
    "Hebrew": "זו תשובה קצרה",
    "Devanagari": "यह एक छोटा उत्तर है",
    "Thai": "นี่คือคำตอบสั้น",
    "Greek": "Αυτή είναι μια σύντομη απάντηση",
}


def test_every_language_listed_is_recognised():
    assert set(TEXTS) == {*WORDS, *SCRIPTS} - {"Latin"}
    texts = [*TEXTS.values(), "x = f(y)", "", "Paris", None]
    told = pl.DataFrame({"text": texts}).select(language(pl.col("text")))["text"].to_list()
    assert told == [*TEXTS, None, None, None, None]
