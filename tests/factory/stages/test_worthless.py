"""A stage that is plainly worthless stops early, keeps what it has, and goes on once the cause is mended."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import factory
from factory.config import Config
from factory.engines.base import Completion, Request
from factory.errors import EngineError
from factory.stages.worthless import IN_A_ROW, AnswerWatch, _Differing
from tests.factory.engines.api.test_money import _environment, config, speak  # noqa: F401 - a fixture
from tests.loopback import Loopback, Seen, Spoken, error

ROLES = ("chosen", "rejected", "candidate", "first", "second")
"""Of the replies that other pair makers ask for."""
JUDGE, REPLIES = "judge J", "replies 1"


class Given:
    """An engine that gives what it is told to."""

    def __init__(self, answers: Sequence[Completion]) -> None:
        self.answers = answers

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        yield from self.answers


def verdicts(*texts: str | None, attempt: int = 0) -> list[Completion]:
    return [
        Completion(f"judge/J/p{n}/chosen_first/{attempt}", text, error=None if text is not None else f"no {n}")
        for n, text in enumerate(texts)
    ]


def triples(count: int, *texts: str) -> list[Completion]:
    return [
        Completion(f"reply/p{n}/{view}/0", text)
        for n in range(count)
        for view, text in zip(("plain", "good", "bad"), texts, strict=True)
    ]


def passed(name: str, answers: list[Completion]) -> int:
    """How many answers come through, with the error counted as none."""
    came = 0
    with pytest.raises(EngineError, match=f"^{name}: {IN_A_ROW} "):  # noqa: PT012
        for _ in AnswerWatch(name).watched(Given(answers).generate)([]):
            came += 1
    return came


@pytest.mark.parametrize(
    ("name", "answers", "came"),
    [
        (JUDGE, verdicts(*["?"] * 30), 20),
        (JUDGE, verdicts("m", *["?"] * 30), 21),
        (JUDGE, verdicts(*["?"] * 19, "M", *["?"] * 30), 40),
        (JUDGE, verdicts(*[None] * 30), 20),
        (JUDGE, [*verdicts(*["?"] * 12), *verdicts(*["?"] * 12, attempt=1)], 20),
        (REPLIES, triples(30, "a", "b", " a\n"), 60),
    ],
)
def test_twenty_in_a_row_end_it_and_all_before_are_passed_on(name: str, answers: list[Completion], came: int) -> None:
    assert passed(name, answers) == came


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        (JUDGE, verdicts(*(["?"] * 19 + ["m"]) * 5)),
        (JUDGE, verdicts(*["?"] * 50, attempt=1)),
        (JUDGE, [*verdicts("m", *["?"] * 12), *verdicts(*["?"] * 13, attempt=1)]),
        (REPLIES, triples(50, "a", "b", "c")),
        (REPLIES, [*triples(19, "a", "a", "a"), *triples(1, "a", "b", "c"), *triples(19, "a", "a", "a")]),
        ("features 1", [Completion(f"features/p{n}", "no feature at all") for n in range(50)]),
    ],
)
def test_what_is_not_plain_goes_on(name: str, answers: list[Completion]) -> None:
    """Features that cannot be read are drawn instead: a small model's are often of no use, and the run is."""
    assert len(list(AnswerWatch(name).watched(Given(answers).generate)([]))) == len(answers)


def test_replies_that_are_no_triples_are_not_kept() -> None:
    """Those of other pair makers, and triples of which a reply has failed."""
    seen = _Differing()
    others = [Completion(f"reply/p{n}/{role}/{k}", "same") for n in range(30) for role in ROLES for k in range(4)]
    failed = [
        Completion(one.id, None, error="no") if one.id.endswith("/good/0") else one
        for one in triples(30, "a", "a", "a")
    ]
    assert {seen(one) for one in (*others, *failed)} == {None}
    assert seen._waiting == {}


def many(settings: Config, folder: Path, count: int = 60) -> Config:
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"What of {n}?"}) + "\n" for n in range(count)))
    return settings


def test_a_judge_without_verdicts_costs_little_and_another_goes_on(tmp_path: Path) -> None:
    """60 pairs in both orders are 120 questions, and three times as many with retries."""

    def babble(seen: Seen) -> Spoken:
        return Spoken("It depends.") if seen.body["model"] == "J" else speak(seen)

    with Loopback(babble) as server:
        settings = many(config(tmp_path, server), tmp_path)
        said = r"judge J: 20 answers in a row hold no verdict, the last being 'It depends\.', 'It depends\.', 'It"
        with pytest.raises(EngineError, match=said):
            factory.run(settings)
        judged = [seen for seen in server.asked if seen.body["model"] == "J"]
        assert len(judged) < 100
        written = len(server.asked) - len(judged)
    with Loopback(speak) as server:
        block = {"base_url": server.base_url, "model": "J", "kind": "openai"}
        judge = settings.judges[0].model_copy(
            update={"engine": Config.model_validate({"prompts": "x", "engine": block}).engine}
        )
        again = settings.model_copy(
            update={"judges": [judge], "audit": settings.audit.model_copy(update={"judge": None})}
        )
        assert factory.run(again, check=False).funnel.input > 40
        assert {seen.body["model"] for seen in server.asked} == {"J"}, "no reply is written again"
    assert written > 200


@pytest.mark.parametrize(
    ("prompts", "most", "said"),
    [(6, 24, "20 answers in a row hold no verdict"), (3, 18, "none of 6 questions was answered with a verdict")],
)
def test_a_judge_without_verdicts_on_few_pairs_ends_the_run(prompts: int, most: int, said: str, tmp_path: Path) -> None:
    """Pairs in both orders, each question asked three times; where all was asked, another start asks nothing."""
    with Loopback(lambda seen: Spoken("It depends.") if seen.body["model"] == "J" else speak(seen)) as server:
        settings = config(tmp_path, server)
        few = settings.model_copy(update={"prompts": settings.prompts.model_copy(update={"limit": prompts})})
        with pytest.raises(EngineError, match=rf"judge J: {said}, the last .*'It depends\.', 'It depends\.', 'It"):
            factory.run(few, check=False)
        assert sum(seen.body["model"] == "J" for seen in server.asked) <= most
        before = len(server.asked)
        if prompts == 3:
            with pytest.raises(EngineError, match=said):
                factory.run(few, check=False)
            assert len(server.asked) == before


def test_replies_that_are_all_alike_end_the_writing(tmp_path: Path) -> None:
    with Loopback(lambda seen: Spoken("Always this.")) as server:
        with pytest.raises(
            EngineError, match=r"replies 1: 20 triples in a row have two equal replies.*'Always this\.'"
        ):
            factory.run(many(config(tmp_path, server), tmp_path))
        assert len(server.asked) < 3 + 60 + 180


def test_requests_that_are_all_refused_end_the_stage(tmp_path: Path) -> None:
    """However differently the refusals are worded."""

    def refuse(seen: Seen) -> Any:
        return None if seen.last == "Say yes." or seen.body["model"] != "writer" else error(400, f"no {seen.number}")

    with Loopback(speak, refuse) as server:
        with pytest.raises(EngineError, match="features 1: 20 requests in a row had no answer, the last being 'no"):
            factory.run(many(config(tmp_path, server), tmp_path))
        assert len(server.asked) < 100
