import pytest

from factory.errors import ConfigError
from filters import FILTERS, PAPER, PRESETS, build, paper
from filters.length_gap import LengthGap


def test_every_name_builds_the_filter_of_that_name(tmp_path):
    (tmp_path / "bench.txt").write_text("a benchmark prompt of some words\n")
    options = {"decontaminate": {"files": [str(tmp_path / "bench.txt")]}}
    for name in FILTERS:
        (made,) = build([{"use": name, **options.get(name, {})}])
        assert made.name == name
        assert made.fingerprint()["use"] == name


def test_options_reach_the_filter():
    (made,) = build([{"use": "length_gap", "max_chars": 12}])
    assert isinstance(made, LengthGap)
    assert made.max_chars == 12
    assert made.fingerprint() == {"use": "length_gap", "max_chars": 12}


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ({"use": "lenght_gap"}, "filters[0]: there is no filter 'lenght_gap'; did you mean length_gap"),
        ({"use": "zzz"}, "filters[0]: there is no filter 'zzz'; known are iteration, duplicate"),
        ({"use": "author_logprobs"}, "filters[0]: there is no filter 'author_logprobs'; did you mean authors_logprobs"),
        ({"use": "paper", "max_chars": 3}, "filters[0]: paper stands for several filters and takes no options"),
        ({"max_chars": 3}, "filters[0]: a filter is written as {use: name"),
        ({"use": 3}, "filters[0]: a filter is written as {use: name"),
        ("length_gap", "filters[0]: a filter is written as {use: name"),
        (
            {"use": "length_gap", "max": 3},
            "filters[0] (length_gap): the key max is unknown; known are max_chars",
        ),
        ({"use": "decontaminate"}, "filters[0] (decontaminate): the key files is missing; add it"),
        ({"use": "decontaminate", "files": ["no.txt"]}, "filters[0] (decontaminate): files: there is no file no.txt"),
        ({"use": "length_gap", "max_chars": -1}, "filters[0] (length_gap): max_chars: should be greater"),
        ({"use": "judge_agrees", "rule": "most"}, "filters[0] (judge_agrees): rule: should be 'no_judge_prefers"),
        ({"use": "score_gap", "columns": ["a", "b", "c"]}, "filters[0] (score_gap): columns: name two columns"),
        ({"use": "iteration", "sso": 3}, "filters[0] (iteration): keep: give a list of iterations for each method"),
        ({"use": "refusal", "patterns": ["("]}, "filters[0] (refusal): patterns: '(' is no regular expression"),
    ],
)
def test_a_block_that_cannot_be_built_says_what_is_wrong(block, sentence):
    with pytest.raises(ConfigError) as caught:
        build([block])
    assert str(caught.value).startswith(sentence)


def test_the_place_of_the_faulty_block_is_named():
    with pytest.raises(ConfigError, match=r"^filters\[1\]"):
        build([{"use": "duplicate"}, {"use": "nothing"}])


def test_the_paper_preset_is_the_paper_s_funnel():
    names = ["iteration", "duplicate", "length_gap", "judge_agrees", "length_balance"]
    assert [block["use"] for block in PAPER] == names
    assert [one.name for one in build(None)] == names
    assert [block["use"] for block in paper(judged=False)] == [n for n in names if n != "judge_agrees"]
    assert build(None)[0].keep == {"sso": {1, 2, 3}, "*": {1, 2}}
    assert build(None)[2].max_chars == 3000


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_stands_for_its_filters_among_others(name):
    made = build([{"use": "truncated"}, {"use": name}, {"use": "length_gap"}])
    assert [one.name for one in made] == ["truncated", *(block["use"] for block in PRESETS[name]), "length_gap"]
    assert name not in FILTERS


def test_a_filter_says_whether_it_needs_votes():
    made = build(
        [{"use": "judge_agrees"}, {"use": "margin"}, {"use": "margin", "by": "logprobs"}, {"use": "duplicate"}]
    )
    assert [one.needs_votes for one in made] == [True, True, False, False]
