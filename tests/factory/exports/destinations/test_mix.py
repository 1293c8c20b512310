"""Mixing: proportions worked by hand, doubles and benchmark prompts dropped over all sources, source kept."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from factory.config import Export, Mix
from factory.errors import ConfigError
from factory.exports.destinations.mix import mix
from tests.heard import Heard
from tests.pairs import assistant, pairs, user


def skywork(path: Path, rows: int, first: int = 0, **more: Any) -> Path:
    """Message lists without a prompt, as Skywork's."""
    made = [
        {
            "chosen": [user(f"their question {n}"), assistant(f"yes {n}")],
            "rejected": [user(f"their question {n}"), assistant(f"no {n}")],
            **more,
        }
        for n in range(first, first + rows)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def ultrafeedback(path: Path, rows: int) -> Path:
    """A prompt as text and full message lists, as UltraFeedback-binarized's."""
    made = [
        {"prompt": q, "chosen": [user(q), assistant(f"good {n}")], "rejected": [user(q), assistant(f"bad {n}")]}
        for n, q in enumerate(f"uf question {n}" for n in range(rows))
    ]
    pl.DataFrame(made).write_parquet(path)
    return path


def sources(frame: pl.LazyFrame) -> dict[str, int]:
    return dict(frame.collect()["source"].value_counts().iter_rows())


def test_a_share_is_one_of_the_whole_mix(tmp_path: Path) -> None:
    """60 of ours; 20 % and 30 % of the mix are others', so that ours are half of 120: 24 and 36."""
    others = [
        Mix(path=str(skywork(tmp_path / "sky.jsonl", 100)), share=0.2),
        Mix(path=str(ultrafeedback(tmp_path / "uf.parquet", 100)), share=0.3, source="UltraFeedback"),
    ]
    mixed = mix(pairs(30).lazy(), others)
    assert mixed.counts == {"sky.jsonl": 24, "UltraFeedback": 36}
    assert sources(mixed.pairs) == {"test": 60, "sky": 24, "UltraFeedback": 36}
    assert mixed.pairs.collect()["pair_id"].n_unique() == 120


def test_without_a_share_all_is_taken_and_counts_towards_the_rest(tmp_path: Path) -> None:
    """20 of ours and all 30 of one are four fifths; the fifth of the other is 50 / 4 = 12.5, rounded to even: 12."""
    others = [
        Mix(path=str(skywork(tmp_path / "all.jsonl", 30))),
        Mix(path=str(ultrafeedback(tmp_path / "uf.parquet", 100)), share=0.2),
    ]
    assert mix(pairs(10).lazy(), others).counts == {"all.jsonl": 30, "uf.parquet": 12}


def test_a_file_that_is_too_small_gives_all_it_has_and_says_so(tmp_path: Path) -> None:
    said = Heard()
    others = [Mix(path=str(skywork(tmp_path / "few.jsonl", 5)), share=0.5)]
    assert mix(pairs(10).lazy(), others, progress=said).counts == {"few.jsonl": 5}
    assert any("5 pairs of 5 from few.jsonl, where its share asks for 20" in line for line in said.lines)


def test_which_pairs_are_drawn_depends_on_seed_and_pair_alone(tmp_path: Path) -> None:
    files = [skywork(tmp_path / "a.jsonl", 100), skywork(tmp_path / "b.jsonl", 100)]
    lines = files[1].read_text().splitlines()
    files[1].write_text("\n".join(reversed(lines)))

    def drawn(path: Path, seed: int) -> set[str]:
        got = mix(pairs(10).lazy(), [Mix(path=str(path), share=0.5)], seed=seed).pairs.collect()
        return set(got.filter(pl.col("source") != "test")["pair_id"])

    assert drawn(files[0], 1) == drawn(files[1], 1) != drawn(files[0], 2)
    assert len(drawn(files[0], 1)) == 20


def test_doubles_are_dropped_across_sources(tmp_path: Path) -> None:
    ours = pairs(10)
    theirs = ours.head(6).select("prompt", pl.col("chosen") + "  ", "rejected")
    theirs.write_parquet(tmp_path / "theirs.parquet")
    mixed = mix(ours.lazy(), [Mix(path=str(tmp_path / "theirs.parquet"))])
    assert mixed.pairs.collect().height == 20


def test_benchmark_prompts_are_dropped_across_sources(tmp_path: Path) -> None:
    bench = tmp_path / "bench.jsonl"
    bench.write_text(json.dumps({"prompt": "their question 3"}) + "\n" + json.dumps({"prompt": "question 1"}))
    others = [Mix(path=str(skywork(tmp_path / "sky.jsonl", 10)))]
    heard = Heard()
    got = mix(pairs(6).lazy(), others, decontaminate=[str(bench)], progress=heard).pairs.collect()
    assert any("bench.jsonl: benchmark prompts, prompt ← prompt: 2 texts" in line for line in heard.lines), heard.lines
    texts = {turn["content"] for prompt in got["prompt"] for turn in prompt}
    assert "their question 3" not in texts
    assert "question 1" not in texts
    assert {"their question 4", "question 2"} <= texts


def test_rows_that_are_no_pairs_are_counted(tmp_path: Path) -> None:
    path = skywork(tmp_path / "sky.jsonl", 3)
    same = {"chosen": [user("q"), assistant("a")], "rejected": [user("q"), assistant("a")]}
    path.write_text(path.read_text() + json.dumps(same) + "\n")
    said = Heard()
    assert mix(pairs(2).lazy(), [Mix(path=str(path))], progress=said).counts == {"sky.jsonl": 3}
    assert any("mix: read keeps 7 pairs, drops 1" in line for line in said.lines), said.lines


def test_shares_leave_room(tmp_path: Path) -> None:
    path = str(skywork(tmp_path / "sky.jsonl", 3))
    for shares in ((0.6, 0.5), (0.7, 0.2, 0.1)):
        with pytest.raises(ConfigError, match="leave nothing of your own"):
            mix(pairs(2).lazy(), [Mix(path=path, share=share) for share in shares])


def test_a_mix_is_a_path_a_path_with_a_share_or_a_block() -> None:
    given = Export.model_validate({"mix": ["a.jsonl", "b.jsonl=0.25", "odd=name.jsonl", {"path": "c", "source": "C"}]})
    assert [(one.path, one.share) for one in given.mix] == [
        ("a.jsonl", None),
        ("b.jsonl", 0.25),
        ("odd=name.jsonl", None),
        ("c", None),
    ]
