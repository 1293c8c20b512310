"""`estimate` against numbers worked by hand, its laws, and how often its interval holds the truth."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import factory
from factory.errors import InputError
from factory.schema import ORDERS
from factory.statistics.estimate import Estimate, fit
from factory.statistics.shares import finite_interval, normal_quantile, score_interval, student_quantile, wilson

PAIRS = [f"pair {number:03}" for number in range(200)]


def votes(scores: dict[str, NDArray[np.float64]], orders: tuple[str, ...] = ORDERS) -> pl.DataFrame:
    """Judgments in which a pair's score is the share of its votes that went to chosen; NaN: unreadable."""
    rows = [
        (pair, judge, order, None if np.isnan(score) else "chosen" if score > bar else "rejected")
        for judge, listed in scores.items()
        for pair, score in zip(PAIRS, listed, strict=False)
        for order, bar in zip(ORDERS, (0.75, 0.25), strict=True)
        if order in orders
    ]
    return pl.DataFrame(rows, ["pair_id", "judge", "order", "vote"], orient="row", schema_overrides={"vote": pl.String})


def gold(right: NDArray[np.bool_], labelled: NDArray[np.int64] | None = None) -> pl.DataFrame:
    rows = pl.DataFrame({"pair_id": PAIRS[: len(right)], "right": right})
    return rows if labelled is None else rows[labelled]


def judged(share: float = 0.8, accuracy: float = 0.85, seed: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which labels are right, and what a judge of that accuracy says of them."""
    rng = np.random.default_rng(seed)
    right = rng.random(len(PAIRS)) < share
    return right, np.where(rng.random(len(PAIRS)) < accuracy, right, ~right).astype(float)


def test_the_estimate_is_the_one_by_hand() -> None:
    """200 pairs, 150 right by the judge; labelled: 10 of these, of which 9 are, and 10 others, of which 3 are.

    Weight 0.9 - 0.3 = 0.6; share 0.6 + 0.6 (0.75 - 0.5) = 0.75. Labels vary by 20 x 0.6 x 0.4 = 4.8, and 0.9 + 2.1 = 3
    of it is left: unexplained 3 / 4.8 x 19 / 18. The quantile at 18 degrees of freedom is 2.100922.
    """
    right = np.array([1] * 9 + [0] + [1] * 3 + [0] * 7 + [1] * 180)
    scores = np.array([1.0] * 10 + [0.0] * 10 + [1.0] * 140 + [0.0] * 40)
    found = factory.estimate(votes({"J": scores}), gold(right == 1, np.arange(20)))
    spread = 2.100922**2 * 3 / 4.8 * 19 / 18 * (1 / 20 - 1 / 200)
    centre = (0.75 + spread / 2) / (1 + spread)
    half = (spread * 0.75 * 0.25 + spread**2 / 4) ** 0.5 / (1 + spread)
    assert found.accuracy == pytest.approx(0.75)
    assert (found.low, found.high) == (pytest.approx(centre - half, abs=1e-5), pytest.approx(centre + half, abs=1e-5))
    assert (found.method, found.n, found.n_gold) == ("prediction_powered", 200, 20)
    assert found.worth == round(1 / (spread / 1.959964**2 + 1 / 200)) - 20
    assert found.needed == 41, "with the quantile at 61 - 2 degrees of freedom"


def test_labels_alone_are_the_finite_interval_of_the_finite_population() -> None:
    """A judge that tosses coins, and 8 of 10 labels right out of 200 pairs."""
    right = np.array([True] * 8 + [False] * 2)
    scores = np.tile([1.0, 0.0], 100)
    found = factory.estimate(votes({"J": scores}), gold(right))
    assert found.method == "labels"
    assert found.worth == 0
    assert (found.low, found.high) == finite_interval(8, 10, 200)


def test_where_all_are_labelled_both_ends_are_the_share_itself() -> None:
    """To the last bit: an end beyond it would be an interval without its own number."""
    for pairs in range(1, 60):
        for hits in range(pairs + 1):
            assert finite_interval(hits, pairs, pairs) == (hits / pairs, hits / pairs)


def test_without_labels_it_is_agreement() -> None:
    """Right 1, 1, 1, unsure 0.5, wrong 0, and one that could not be read: 3 of 5."""
    found = factory.estimate(votes({"J": np.array([1, 1, 1, 0.5, 0, np.nan])}))
    assert (found.method, found.n, found.n_gold, found.worth, found.needed) == ("agreement", 6, 0, 0, None)
    assert found.accuracy == pytest.approx(3 / 5)
    assert (found.low, found.high) == pytest.approx(tuple(wilson(3, 5)))
    once = factory.estimate(votes({"J": np.array([1, 1, 0, 0, 1])}, ORDERS[:1]))
    assert once.accuracy == 3 / 5, "of single votes, where no pair was asked in both orders"


def test_every_pair_labelled_is_the_share_itself() -> None:
    right, scores = judged()
    found = factory.estimate(votes({"J": scores}), gold(right))
    assert found.accuracy == found.low == found.high == right.mean()
    assert (found.needed, found.worth) == (0, 0)


@pytest.mark.parametrize("labels", [1, 2, 5, 9, 10, 11, 30, 150, 199])
@pytest.mark.parametrize("case", ["usual", "all right", "all wrong", "unread", "one order", "copies", "nine judges"])
def test_ends_hold_the_share_and_are_never_wider_than_labels_alone(labels: int, case: str) -> None:
    """Ends in order and possible, the share between them; never wider than labels alone; known labels are heeded."""
    right, scores = judged(share={"all right": 1.0, "all wrong": 0.0}.get(case, 0.8))
    said = {"J": np.full(len(PAIRS), np.nan) if case == "unread" else scores}
    if case == "copies":
        said |= {"K": scores, "L": scores}
    if case == "nine judges":
        said |= {f"J{seed}": judged(accuracy=0.7, seed=seed)[1] for seed in range(8)}
    chosen = np.random.default_rng(3).permutation(len(PAIRS))[:labels]
    asked = votes(said, ORDERS[:1] if case == "one order" else ORDERS)
    found = factory.estimate(asked, gold(right, chosen))
    assert found.accuracy is not None
    assert found.low is not None
    assert found.high is not None
    known = right[chosen].sum()
    assert known / 200 <= found.low <= found.accuracy <= found.high <= (known + 200 - labels) / 200
    alone = finite_interval(int(known), labels, 200)
    assert found.high - found.low <= alone.high - alone.low + 1e-12
    assert found.needed is not None
    assert 0 <= found.needed <= 200 - labels
    assert found.worth >= (found.method == "prediction_powered"), "a judge that is worth no label is not used"
    assert (found.n, found.n_gold) == (200, labels)
    assert 1 <= found.effective_judges <= len(said) + 1e-9
    if case in ("unread", "all right", "all wrong") or labels < 10:
        assert (found.method, found.worth) == ("labels", 0)
    shuffled = factory.estimate(asked.sample(fraction=1, shuffle=True, seed=1), gold(right, chosen[::-1]))
    assert shuffled == pytest.approx(found)


def test_copies_of_a_judge_say_what_one_says() -> None:
    right, scores = judged()
    labels = gold(right, np.arange(40))
    one = factory.estimate(votes({"J": scores}), labels)
    three = factory.estimate(votes(dict.fromkeys("JKL", scores)), labels)
    assert three == pytest.approx(one)
    assert three.effective_judges == pytest.approx(1)


def test_judges_who_say_of_all_what_they_say_of_the_labelled_move_nothing() -> None:
    """Of 100 labelled pairs and 100 others the same three say the same: the share is that of the labels."""
    right, _ = judged()
    scores = np.stack([judged(accuracy=0.8, seed=seed)[1] for seed in (1, 2, 3)], axis=1)[:100]
    scores = np.where(np.arange(100)[:, None] % 3 == 0, scores, right[:100, None])
    found = fit(np.concatenate([scores, scores]), np.concatenate([right[:100], np.full(100, np.nan)]))
    assert found.weights > 1
    assert found.share == pytest.approx(right[:100].mean(), abs=1e-12)
    few = fit(np.concatenate([scores, scores]), np.concatenate([right[:29], np.full(171, np.nan)]))
    assert few.weights == 1, "ten labels a judge, or their mean is heard"


def test_needed_labels_are_the_fewest_that_halve_the_interval() -> None:
    """8 of 10 labels right out of 200 pairs, and a judge that tosses coins."""
    found = factory.estimate(votes({"J": np.tile([1.0, 0.0], 100)}), gold(np.arange(10) < 8))
    ends = [score_interval(0.8, normal_quantile(0.95) ** 2 * (1 / labels - 1 / 200)) for labels in range(10, 201)]
    widths = [high - low for low, high in ends]
    assert found.needed == next(more for more, width in enumerate(widths) if width <= widths[0] / 2) == 29


def test_student_s_quantiles_are_those_of_the_table() -> None:
    """Two-sided 95 %, and 99 % at 30."""
    for freedom, quantile in (
        (1, 12.706205),
        (4, 2.776445),
        (8, 2.306004),
        (10, 2.228139),
        (20, 2.085963),
        (48, 2.010635),
        (1000, 1.962339),
    ):
        assert student_quantile(0.95, freedom) == pytest.approx(quantile, abs=1e-6)
    assert student_quantile(0.99, 30) == pytest.approx(2.749996, abs=1e-6)
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)


def test_it_takes_frames_of_each_kind_and_files(tmp_path: Path) -> None:
    right, scores = judged()
    asked, labels = votes({"J": scores}), gold(right, np.arange(30))
    expected = factory.estimate(asked, labels)
    assert factory.estimate(asked.lazy(), labels.with_columns(pl.col("right").cast(pl.Int64))) == expected
    assert factory.estimate(asked.to_pandas(), labels.to_pandas()) == expected
    asked.write_parquet(tmp_path / "judgments.parquet")
    labels.write_csv(tmp_path / "gold.csv")
    assert factory.estimate(tmp_path / "judgments.parquet", str(tmp_path / "gold.csv")) == expected


def test_peoples_answers_are_labels_and_a_tie_is_not_right() -> None:
    right, scores = judged()
    asked, labels = votes({"J": scores}), gold(right, np.arange(30))
    said = pl.when("right").then(pl.lit("chosen")).otherwise(pl.lit("tie"))
    answers = labels.select("pair_id", label=said, right=pl.col("right").replace(False, None), annotator=pl.lit("me"))
    expected = factory.estimate(asked, labels)
    assert factory.estimate(asked, answers) == expected
    assert factory.estimate(asked, answers.select("pair_id", "label")) == expected


def test_what_is_no_label_is_told() -> None:
    right, scores = judged()
    asked, labels = votes({"J": scores}), gold(right, np.arange(30))
    with pytest.raises(InputError, match="gold: there is no column right"):
        factory.estimate(asked, labels.rename({"right": "good"}))
    with pytest.raises(InputError, match="right holds 'yes'"):
        factory.estimate(asked, labels.with_columns(right=pl.lit("yes")))
    with pytest.raises(InputError, match="right in one row and not in another"):
        factory.estimate(asked, pl.concat([labels, labels.with_columns(~pl.col("right"))]))
    with pytest.raises(InputError, match="none of its pairs"):
        factory.estimate(asked, labels.with_columns(pl.col("pair_id") + "?"))
    with pytest.raises(InputError, match="confidence is 95"):
        factory.estimate(asked, labels, confidence=95)
    nothing = factory.estimate(asked, labels.with_columns(right=pl.lit(None, pl.Boolean)))
    assert nothing.method == "agreement"


def coverage(accuracy: float, share: float, labels: int, draws: int, pairs: int = 700) -> tuple[float, float]:
    """How often the interval held the share of right labels, and its mean width over that of labels alone."""
    rng = np.random.default_rng([round(100 * accuracy), round(100 * share), labels])
    covered, width, alone = 0, 0.0, 0.0
    for _ in range(draws):
        right = rng.random(pairs) < share
        scores = np.where(rng.random((2, pairs)) < accuracy, right, ~right).mean(axis=0)
        known = np.full(pairs, np.nan)
        chosen = rng.permutation(pairs)[:labels]
        known[chosen] = right[chosen]
        found = fit(scores[:, None], known)
        covered += found.low <= right.mean() <= found.high
        width += found.high - found.low
        low, high = finite_interval(int(right[chosen].sum()), labels, pairs)
        alone += high - low
    return covered / draws, width / alone


@pytest.mark.parametrize("labels", [50, 100])
@pytest.mark.parametrize("share", [0.8, 0.9])
@pytest.mark.parametrize("accuracy", [0.45, 0.65, 0.75, 0.97])
def test_the_interval_holds_the_truth_and_is_no_wider_than_labels_alone(
    accuracy: float, share: float, labels: int
) -> None:
    """The standard error of a coverage from 400 draws is 1.1 points; intervals of agreement cover in none of them.

    Prediction-powered inference with the normal quantile covers 60 to 88 % with the best of these judges, whose few
    errors 50 labels may not show.
    """
    covered, width = coverage(accuracy, share, labels, draws=400)
    assert 0.92 <= covered <= (1 if accuracy > 0.9 else 0.985)
    assert width <= 1
    if accuracy >= 0.75 and labels == 100:
        assert width <= 0.95


def test_estimate_is_what_is_measured() -> None:
    right, scores = judged()
    known = np.full(len(PAIRS), np.nan)
    known[:40] = right[:40]
    found = factory.estimate(votes({"J": scores}), gold(right, np.arange(40)))
    measured = fit(scores[:, None], known)
    assert isinstance(found, Estimate)
    assert (found.accuracy, found.low, found.high) == pytest.approx((measured.share, measured.low, measured.high))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("pair_id", None, "judgments: the column pair_id has 2 empty cells"),
        ("judge", None, "judgments: the column judge has 2 empty cells"),
        ("order", None, "judgments: the column order has 2 empty cells"),
        ("order", "left", "judgments: the column order holds 'left'"),
        ("vote", "Chosen", "judgments: the column vote holds 'Chosen'; known are chosen and rejected"),
        ("vote", ["chosen"], "judgments: the column vote holds no text"),
    ],
)
def test_votes_that_are_none_are_told(column: str, value: object, said: str) -> None:
    rows = {"pair_id": ["a", "b"], "judge": ["J", "J"], "order": [ORDERS[0]] * 2, "vote": ["chosen", "rejected"]}
    with pytest.raises(InputError, match=said):
        factory.estimate(pl.DataFrame(rows | {column: [value, value]}))


def test_labels_of_nobodys_pair_and_labels_that_are_lists_are_told() -> None:
    votes = pl.DataFrame({"pair_id": ["a"], "judge": ["J"], "order": [ORDERS[0]], "vote": ["chosen"]})
    for gold in ({"pair_id": [None, "a"], "right": [True, True]}, {"pair_id": [None, "a"], "label": [1, 1]}):
        with pytest.raises(InputError, match="pair_id has 1 empty cells"):
            factory.estimate(votes, pl.DataFrame(gold))
    for name in ("right", "label"):
        with pytest.raises(InputError, match=f"{name}.* holds no text.* but List"):
            factory.estimate(votes, pl.DataFrame({"pair_id": ["a"], name: [[1]]}))
    with pytest.raises(InputError, match="labels need the columns pair_id"):
        factory.estimate(votes, pl.DataFrame({"label": [1]}))


@pytest.mark.parametrize("share", [0.8, 0.9, 0.95])
def test_the_interval_of_several_judges_who_err_together_holds_the_truth(share: float) -> None:
    """Three judges, right about nine pairs in ten, and mostly about the same ones; 100 labels, 400 draws."""
    random, held = np.random.default_rng(int(100 * share)), 0
    right = np.arange(1000) < 1000 * share
    for _ in range(400):
        common = random.random((1000, 1)) < 0.9
        own = random.random((1000, 3)) < 0.9
        agree = np.where(random.random((1000, 3)) < 0.8, common, own)
        scores = np.where(agree, right[:, None], ~right[:, None]).astype(float)
        known = np.full(1000, np.nan)
        labelled = random.permutation(1000)[:100]
        known[labelled] = right[labelled]
        found = fit(scores, known)
        held += found.low <= share <= found.high
    assert held / 400 >= 0.925


@pytest.mark.parametrize("audited", [50, 200])
def test_the_interval_is_of_all_pairs_and_not_of_the_audited_ones(audited: int) -> None:
    """50 labels of 50 or 200 audited pairs, drawn out of 1,000: with no more than 50 there is no doubt about these."""
    random, held = np.random.default_rng(audited), 0
    for _ in range(400):
        right = random.random(1000) < 0.8
        agree = random.random(1000) < 0.9
        drawn = random.permutation(1000)[:audited]
        scores = np.where(agree, right, ~right)[drawn].astype(float)[:, None]
        known = np.where(np.arange(audited) < 50, right[drawn], np.nan)
        found = fit(scores, known, pairs=1000)
        held += found.low <= right.mean() <= found.high
    assert held / 400 >= 0.925


def test_judges_of_opposite_minds_have_an_estimate() -> None:
    """Their correlations add up to nothing, by which nothing can be divided."""
    said = np.array([1.0, 0.0, 1.0])
    found = factory.estimate(votes({"a": said, "b": 1 - said}))
    assert found.effective_judges == 2


@settings(deadline=None, max_examples=40)
@given(data=st.data(), judges=st.integers(0, 4), pairs=st.integers(1, 12))
def test_any_votes_of_any_judges_have_an_estimate(data: st.DataObject, judges: int, pairs: int) -> None:
    """Judges of one mind, of opposite minds, silent ones and none: numbers in their bounds, or none, and no error."""
    words = st.sampled_from(["chosen", "rejected", None])
    rows = [
        (f"p{pair}", f"j{judge}", order, data.draw(words))
        for judge in range(judges)
        for pair in range(pairs)
        for order in data.draw(st.sampled_from([ORDERS, ORDERS[:1], ORDERS[1:], ()]))
    ]
    judgments = pl.DataFrame(rows, dict.fromkeys(("pair_id", "judge", "order", "vote"), pl.String), orient="row")
    labelled = st.lists(st.booleans(), min_size=0, max_size=judgments["pair_id"].n_unique())
    ids = judgments["pair_id"].unique().sort()
    right = data.draw(labelled)
    found = factory.estimate(judgments, pl.DataFrame({"pair_id": ids[: len(right)], "right": right}) if right else None)
    assert 0 <= found.effective_judges <= judgments["judge"].n_unique()
    if found.accuracy is None:
        assert (found.low, found.high) == (None, None)
    else:
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.accuracy <= found.high <= 1
