"""Other ways to make a pair: what is asked of whom, which reply is chosen, and the whole line behind each of them."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import factory
from factory.config import Config, Sampling
from factory.config.load import load_config
from factory.config.pairs import PAIR_MAKERS
from factory.engines.base import Completion
from factory.errors import ConfigError
from factory.line.preflight import preflight
from factory.pair_makers.best_of_n import best_and_worst
from factory.pair_makers.label_first import label, pairing
from factory.schema import PAIRS, check
from factory.stages.plain_pairs import Origin, Pairing, paired, replies
from tests.answering import Answering, prompts_frame
from tests.tiny import tiny_model_folder

OTHERS = sorted(PAIR_MAKERS.keys() - {"principles"})
MORE: dict[str, dict[str, Any]] = {"delta": {"weak": "small"}, "best_of_n": {"n": 3}, "label_first": {}}


def config(folder: Path, maker: str, **more: Any) -> dict[str, Any]:
    (folder / "prompts.txt").write_text("".join(f"Question {n}?\n" for n in range(12)))
    return {
        "prompts": str(folder / "prompts.txt"),
        "engine": "scripted",
        "run": {"iterations": 2},
        "pairs": {"from": maker, **MORE[maker]},
        "training": {"method": "pbaa"},
        "judges": ["one"],
        "filters": [{"use": "duplicate"}, {"use": "judge_agrees"}],
        **more,
    }


@pytest.mark.parametrize("maker", OTHERS)
def test_behind_every_maker_every_prompt_is_kept_or_has_a_reason(maker: str, tmp_path: Path) -> None:
    """Pairs without principles, scored, trained on, judged, exported; every prompt is kept or has a reason."""
    done, found = factory.run(config(tmp_path, maker), tmp_path / "run"), 0
    for number in (1, 2):
        folder = tmp_path / f"run/iterations/{number}"
        made = pl.read_parquet(folder / "triples.parquet")
        check(made, PAIRS)
        rejected = folder / "triples.rejected.parquet"
        found += len(made) + (len(pl.read_parquet(rejected)) if rejected.exists() else 0)
        assert len(made) > 2
        assert set(made["method"]) == {maker}
        assert made["system_good"].null_count() == len(made)
        assert not (folder / "features.parquet").exists()
        scores = pl.read_parquet(folder / "scores.parquet")
        assert scores["logp_chosen_plain"].null_count() == scores["logp_rejected_plain"].null_count() == 0
    assert found == 12
    assert done.funnel.kept > 0
    assert done.exports
    plan = factory.plan(config(tmp_path, maker), tmp_path / "run")
    assert plan.total.requests > 12


@pytest.mark.parametrize("maker", OTHERS)
def test_nothing_is_made_twice_and_what_decides_it_makes_it_anew(maker: str, tmp_path: Path) -> None:
    def stamp() -> int:
        return (tmp_path / "run/iterations/1/triples.manifest.json").stat().st_mtime_ns

    def run(**more: Any) -> None:
        factory.run(config(tmp_path, maker, **more), tmp_path / "run", until="1/triples")

    run()
    first = stamp()
    run()
    assert stamp() == first
    other = {"delta": {"weak": "smaller"}, "best_of_n": {"n": 2}, "label_first": {"template": _own(tmp_path)}}[maker]
    run(pairs={"from": maker, **other})
    assert stamp() > first


def _own(folder: Path) -> str:
    (folder / "own.yaml").write_text(
        "kind: second\nmessages: [{role: user, content: '{{prompt}} {{reply}} {{label}} please'}]\n"
    )
    return str(folder / "own.yaml")


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ({"pairs": "deltas"}, r"pairs\.from: there is no pair maker 'deltas'; did you mean delta\?"),
        ({"pairs": "delta"}, r"pairs\.from: delta .*; name it in pairs\.weak"),
        ({"pairs": "best_of_n"}, r"best_of_n needs somebody to tell best from worst; name judges, or set pairs\.by"),
        ({"pairs": "label_first", "training": {"method": "sso"}}, r"training\.method: sso compares .* pbaa"),
        ({"pairs": "label_first", "training": {"method": "sso_no_g", "weight": "w_prime"}}, r"set training\.method"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_asked(tmp_path: Path, blocks: dict[str, Any], said: str) -> None:
    base = {**config(tmp_path, "delta"), "judges": []}
    with pytest.raises(ConfigError, match=said):
        factory.run({**base, **blocks}, tmp_path / "run")


@pytest.mark.parametrize("auditor", ["small", "org/small"])
def test_a_weaker_model_does_not_audit_its_own_replies(tmp_path: Path, auditor: str) -> None:
    for maker, refused in (("delta", True), ("label_first", False)):
        raw = config(tmp_path, maker, audit={"judge": {"name": auditor}})
        settings = Config.model_validate({**raw, "pairs": {"from": maker, "weak": "small"}})
        with pytest.raises(ConfigError, match=r"wrote some of these pairs \(small\)") if refused else nullcontext():
            preflight(settings)


def test_a_weight_that_reads_x_alone_needs_no_principles(tmp_path: Path) -> None:
    preflight(Config.model_validate(config(tmp_path, "label_first", training={"method": "sso_no_g"})))


def test_the_key_is_called_from(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("prompts: x\npairs: {from: delta, weak: small}\n")
    made = load_config(tmp_path / "c.yaml", ["pairs.weak=smaller"])
    assert (made.pairs.maker, made.pairs.weak) == ("delta", "smaller")
    assert made.model_dump(mode="json")["pairs"]["from"] == "delta"
    assert Config.model_validate(made.model_dump(mode="json")) == made
    with pytest.raises(ConfigError, match=r"pairs\.form is unknown; did you mean from\?"):
        load_config(tmp_path / "c.yaml", ["pairs.form=delta"])


def test_a_reward_model_tells_best_from_worst(tmp_path: Path) -> None:
    """A random one, that knows no pair: the pairs are those its own scores make."""
    transformers = pytest.importorskip("transformers")
    base = tiny_model_folder(tmp_path / "base")
    with_head = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    with_head.save_pretrained(tmp_path / "rm")
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "rm")
    blocks = {"pairs": {"from": "best_of_n", "n": 3, "by": str(tmp_path / "rm")}, "judges": [], "filters": []}
    blocks["run"] = {"iterations": 1}
    factory.run(config(tmp_path, "best_of_n", **blocks), tmp_path / "run", until="triples")
    made = pl.read_parquet(tmp_path / "run/iterations/1/triples.parquet")
    assert len(made) > 8
    scored = factory.reward_score(made, str(tmp_path / "rm"), tmp_path / "score").result
    assert scored["accuracy"] == 1


def answer(text: str | None, error: str | None = None, finish: str = "stop") -> Completion:
    return Completion("x", text, finish, completion_tokens=3, error=error)


A, B, C = answer("A"), answer("B"), answer("C")


@pytest.mark.parametrize(
    ("standing", "found"),
    [
        ([1.0, 3.0, 2.0], Pairing(B, A)),
        ([2.0, 2.0, 1.0], Pairing(A, C)),
        ([1.0, 2.0, 1.0], Pairing(B, A)),
        ([None, 1.0, 2.0], Pairing(C, B)),
        ([1.0, 1.0, 1.0], Pairing(A, C, "undecided")),
        ([None, None, None], Pairing(A, C, "undecided")),
    ],
)
def test_best_and_worst_are_by_standing_and_undecided_where_all_are_level(
    standing: list[float | None], found: Pairing
) -> None:
    assert best_and_worst([A, B, C], standing) == found


@given(st.lists(st.one_of(st.none(), st.integers(0, 4).map(float)), min_size=2, max_size=7))
def test_the_best_is_never_below_the_worst(standing: list[float | None]) -> None:
    made = best_and_worst([answer(str(place)) for place in range(len(standing))], standing)
    known = [value for value in standing if value is not None]
    if made.reason is None:
        best, worst = standing[int(made.chosen.text or "")], standing[int(made.rejected.text or "")]
        assert (best, worst) == (max(known), min(known))
        assert best != worst
    else:
        assert len(set(known)) < 2


def test_the_label_decides_which_is_chosen_and_leaks_are_no_pairs() -> None:
    assert pairing(A, B, "better").chosen.text == pairing(A, B, "worse").rejected.text == "B"
    assert pairing(A, answer("Better reply: B"), "better").chosen.text == "B"
    assert pairing(A, answer("As a worse answer, B."), "worse").reason == "leak"
    assert {label(1, str(n), 1) for n in range(40)} == {"better", "worse"}
    assert [label(1, "p", n) for n in range(20)] != [label(2, "p", n) for n in range(20)]


def test_replies_are_asked_in_one_call_and_a_silent_engine_has_failed() -> None:
    prompts = prompts_frame("a", "b")
    engine = Answering(lambda request: None if request.messages[0]["content"] == "a" else "So.")
    found = replies(prompts, engine, Sampling(max_new_tokens=9), 1, 2, "chosen", 3)
    assert len(engine.calls) == 1
    assert len({request.seed for request in engine.asked}) == 6
    asked = prompts.select("prompt_id", "prompt").rows()
    texts = {turns[0]["content"]: [one.text for one in found[id_]] for id_, turns in asked}
    assert texts == {"a": [None] * 3, "b": ["So."] * 3}


@pytest.mark.parametrize(
    ("pairing_", "reason"),
    [
        (Pairing(A, B), None),
        (Pairing(answer(None, "boom"), B), "failed"),
        (Pairing(answer(" "), B), "empty_chosen"),
        (Pairing(A, answer("")), "empty_rejected"),
        (Pairing(A, answer(" A ")), "equal_replies"),
        (Pairing(A, B, "undecided"), "undecided"),
    ],
)
def test_why_two_replies_are_no_pair(pairing_: Pairing, reason: str | None) -> None:
    prompts = prompts_frame("a", mine=[7])
    split = paired(prompts, {prompts["prompt_id"][0]: [pairing_, pairing_]}, Origin("delta", "p", 3, "weak"))
    check(split.kept, PAIRS)
    reasons = [*([None] * len(split.kept)), *(split.rejected["reason"] if len(split.rejected) else [])]
    assert sorted(map(str, reasons)) == sorted(map(str, [reason, reason or "same_pair"]))
    for table in (split.kept, split.rejected):
        if len(table):
            row = table.row(0, named=True)
            assert (row["mine"], row["rejected_by"], row["iteration"], row["method"]) == (7, "weak", 3, "delta")
