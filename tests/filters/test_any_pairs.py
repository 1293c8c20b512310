"""Whatever the texts and numbers in them: every filter puts each pair on one side, and says why on the other."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import FILTERS, build
from filters.funnel import apply
from tests.filters.table import lazily, row, table, votes

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(["I cannot help with that.", "a " * 2000])
NUMBERS = st.none() | st.floats()
COLUMNS = st.fixed_dictionaries(
    {
        "prompt": TEXTS,
        "chosen": TEXTS,
        "rejected": TEXTS,
        "method": st.none() | TEXTS,
        "iteration": st.none() | st.integers(-(2**63), 2**63 - 1),
        "finish_chosen": st.sampled_from([None, "stop", "length", "odd"]),
        **{f"logp_{reply}_{view}": NUMBERS for reply in ("chosen", "rejected") for view in ("plain", "good", "bad")},
    }
)
VOTES = st.sampled_from([None, "chosen", "rejected"])


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "bench.txt"
    path.write_text("words that nobody would write in this order by themselves, or so one hopes\n")
    return {"decontaminate": {"files": [str(path)]}}


@pytest.mark.parametrize("name", FILTERS)
@settings(max_examples=15, deadline=None)
@given(drawn=st.lists(st.tuples(COLUMNS, VOTES, VOTES), max_size=6))
def test_every_pair_is_on_one_side(name, bench, drawn):
    pairs = table([{**row(str(n), **columns), "pair_id": str(n)} for n, (columns, _, _) in enumerate(drawn)])
    given_votes = [
        (str(n), "J", order, vote)
        for n, (_, *both) in enumerate(drawn)
        for order, vote in zip(("chosen_first", "rejected_first"), both, strict=True)
    ]
    found = apply(lazily(pairs), build([{"use": name, **bench.get(name, {})}]), votes(*given_votes))
    kept, rejected = found.kept.collect(), found.rejected.collect()
    assert sorted([*kept["pair_id"], *rejected["pair_id"]]) == [str(n) for n in range(len(drawn))]
    assert rejected["reason"].null_count() == 0
    assert found.funnel.kept == kept.height
