"""benchmarks/principle_options.py: its page from its results, and a small run from replies that are there."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import principle_options as benchmark
from factory.engines.base import Request


def test_the_page_holds_the_table_of_the_results() -> None:
    page, found = benchmark.PAGE.read_text("utf-8"), json.loads(benchmark.RESULTS.read_text("utf-8"))
    assert benchmark.with_table(page, found) == page
    signs = [one for option in found["options"].values() for one in option["signs"].values()]
    assert {len(one) for one in signs} == {found["prompts"]}
    assert set("".join(signs)) == set("+=-")


def test_signs_by_hand() -> None:
    """Two of four ahead and one behind: 0.25; signs that are all alike have no spread."""
    assert benchmark.estimate(benchmark.values("++=-")).startswith("+0.25 (-0.50 to +1.00)")
    assert benchmark.estimate(np.ones(9)) == "+1.00 (+1.00 to +1.00)"


def test_a_reply_that_is_there_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Glad under the good message and angry under the bad one is + for Mood; what the other prompts ask for is even."""
    texts, place = ["Tell me about tea.", "Tell me about rain."], tmp_path / "replies.jsonl"
    option = benchmark.OPTIONS[0]
    wanted = benchmark.requests(option, texts, 8)
    said = {"good": "What a lovely day!", "bad": "What an awful day!"}
    place.write_text("".join(json.dumps({"id": one, "text": said[one.rsplit("/")[-1]]}) + "\n" for one in wanted))

    class Nobody:
        def __enter__(self) -> "Nobody":
            return self

        def __exit__(self, *_: object) -> None: ...

        def generate(self, asked: list[Request]) -> list[Request]:
            assert asked == []
            return asked

    monkeypatch.setattr(benchmark, "open_generator", lambda *_: Nobody())
    answers = benchmark.answered(list(wanted.values()), place)
    assert benchmark.verdicts(option, texts, answers) == {
        "signs": {"the drawn one": "+="},
        "words": {"good": 4.0, "bad": 4.0},
    }
