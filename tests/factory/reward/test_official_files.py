"""Benchmarks' files as they lie about: splits, copies, whole and parts; and what is misspelt is told."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pytest

from factory.errors import ConfigError, InputError
from factory.readers import How, PairsLike, fingerprint
from factory.reward.items import read_items
from factory.reward.official import ScoredItems
from tests.heard import Heard

PAIR = {"prompt": "q", "chosen": "yes", "rejected": "no"}
RAW = [PAIR | {"prompt": f"q{n}", "subset": "hep-cpp", "id": n} for n in range(4)]
FILTERED = RAW[:3]
STYLED = {"chosen": ["a", "b", "c"], "rejected": ["d", "e", "f"]}
CHAT = STYLED | {"id": 1, "prompt": "q", "domain": "chat"}
SEVERAL = {"id": "1", "prompt": "q", "chosen": ["yes"], "rejected": ["no", "nay", "non"], "subset": "Math"}
BEST = {"prompt": "q", "response_1": "a", "response_2": "b", "response_3": "c", "scores": [1, 0, 0]}
JUDGED = {"source": "mmlu-pro-law", "question": "q", "response_A": "a", "response_B": "b", "label": "A>B"}


def read(inputs: PairsLike, benchmark: str = "auto", group: str | None = None, how: How | None = None,
         heard: Heard | None = None) -> ScoredItems:  # fmt: skip
    return read_items(inputs, benchmark, group, how, heard)


def text(heard: Heard) -> str:
    return "\n".join(heard.lines)


def groups(found: ScoredItems) -> dict[str, int]:
    return dict(Counter(item.group for item in found.items))


def lines(place: Path, rows: list[dict[str, Any]]) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(map(json.dumps, rows)))
    return place


def parquet(place: Path, rows: list[dict[str, Any]]) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(place)
    return place


Splits = Mapping[str, list[dict[str, Any]]]


def as_files(folder: Path, splits: Splits) -> PairsLike:
    for name, rows in splits.items():
        parquet(folder / "data" / f"{name}-00000-of-00001.parquet", rows)
    return folder


def as_older_files(folder: Path, splits: Splits) -> PairsLike:
    for name, rows in splits.items():
        parquet(folder / "data" / f"{name}-00000-of-00001-25f4910818759289.parquet", rows)
    return folder


def as_named_files(folder: Path, splits: Splits) -> PairsLike:
    as_files(folder, splits)
    return sorted((folder / "data").iterdir())


def as_converted(folder: Path, splits: Splits) -> PairsLike:
    """As the Hub's branch refs/convert/parquet."""
    for name, rows in splits.items():
        parquet(folder / "default" / name / "0000.parquet", rows)
    return folder


def as_dataset(folder: Path, splits: Splits) -> PairsLike:
    return datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in splits.items()})


def as_saved(folder: Path, splits: Splits) -> PairsLike:
    made = as_dataset(folder, splits)
    assert isinstance(made, datasets.DatasetDict)
    made.save_to_disk(str(folder))
    return folder


WAYS = [as_files, as_older_files, as_named_files, as_converted, as_dataset, as_saved]


@pytest.mark.parametrize("way", WAYS)
def test_rewardbench_is_scored_on_its_filtered_split_and_says_so(
    way: Callable[[Path, Splits], PairsLike], tmp_path: Path
) -> None:
    """Four raw pairs, three filtered ones: whatever holds both, three are scored."""
    heard = Heard()
    given = way(tmp_path / "bench", {"filtered": FILTERED, "raw": RAW, "train": RAW})
    found = read(given, heard=heard)
    assert (found.benchmark, groups(found)) == ("rewardbench", {"hep-cpp": 3})
    assert "filtered split; left out: " in text(heard)
    assert "raw" in text(heard)
    assert "train" in text(heard)


@pytest.mark.parametrize("way", WAYS)
def test_prior_sets_are_called_by_their_split(way: Callable[[Path, Splits], PairsLike], tmp_path: Path) -> None:
    """anthropic_hhh has a column of its own called subset."""
    splits = {"shp": [PAIR], "anthropic_hhh": [PAIR | {"subset": "harmless"}]}
    assert groups(read(way(tmp_path / "prior", splits), "rewardbench")) == {"shp": 1, "anthropic_hhh": 1}


def test_prior_sets_may_lie_beside_the_filtered_split_or_in_its_file(tmp_path: Path) -> None:
    as_files(tmp_path / "both", {"filtered": FILTERED, "raw": RAW, "shp": [PAIR]})
    assert groups(read(tmp_path / "both", "rewardbench")) == {"hep-cpp": 3, "shp": 1}
    one = lines(tmp_path / "one.jsonl", [*FILTERED, RAW[3] | {"subset": "summarize"}])
    assert groups(read(one)) == {"hep-cpp": 3, "summarize": 1}


def test_a_split_is_part_of_what_inputs_hash_to(tmp_path: Path) -> None:
    hashes = {
        fingerprint(as_converted(tmp_path / name, {name: [PAIR]})) for name in ("shp", "summarize")
    } | {fingerprint(as_dataset(tmp_path, {name: [PAIR]})) for name in ("shp", "summarize")}  # fmt: skip
    assert len(hashes) == 4


def test_parts_beside_the_whole_count_once(tmp_path: Path) -> None:
    """RM-Bench's folder has total_dataset.json and a file for each domain."""
    rows = [STYLED | {"id": n, "prompt": f"q{n}", "domain": ("chat", "math")[n % 2]} for n in range(4)]
    for name, part in {"total_dataset": rows, "chat_filtered": rows[::2], "math_filtered": rows[1::2]}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(part))
    heard = Heard()
    assert groups(read(tmp_path, heard=heard)) == {"chat": 2, "math": 2}
    assert "total_dataset.json: 4 of its rows are in another file as well, and count once" in text(heard)
    # Within a file they count as the benchmark counts them.
    assert len(read(lines(tmp_path / "twice" / "a.jsonl", [rows[0]] * 2)).items) == 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([*FILTERED, RAW[3] | {"subset": "hep-Cpp"}], "row 4: RewardBench has no subset 'hep-Cpp'"),
        ([RAW[0], RAW[3] | {"subset": None}], "row 2: RewardBench has no subset None"),
        ([SEVERAL, SEVERAL | {"chosen": ["yes", "ja"]}], "row 2: in Math one reply is right, and chosen has 2"),
        ([SEVERAL, SEVERAL | {"rejected": ["a", None]}], "1 of its rows are not so: RewardBench 2 has"),
        ([SEVERAL | {"subset": "Ties", "id": "ref:0", "prompt": p} for p in "ab"], "have the id 'ref:0'"),
        ([CHAT | {"domain": "Chat"}], "row 1: RM-Bench has no domain 'Chat'"),
        ([CHAT, CHAT | {"prompt": 3}], "1 of its rows are not so: RM-Bench has"),
        ([CHAT, CHAT | {"chosen": ["a", None, "c"]}], "1 of its rows are not so: RM-Bench has"),
        ([BEST, BEST | {"scores": ["1", "good", "0"]}], "scores is no list of numbers"),
    ],
)
def test_what_is_misspelt_or_missing_is_told(rows: list[dict[str, Any]], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        read(lines(tmp_path / "in.jsonl", rows))


@pytest.mark.parametrize("name", ["rewardbench", "rewardbench2", "rmbench", "judgebench", "best_of_n"])
def test_files_of_another_benchmark_are_refused_by_name(name: str, tmp_path: Path) -> None:
    for number, row in enumerate((RAW[0], SEVERAL, CHAT, JUDGED, BEST)):
        place = lines(tmp_path / f"{number}.jsonl", [row])
        if read(place).benchmark != name:
            with pytest.raises(InputError, match="check the file"):
                read(place, name)


def test_how_to_read_is_for_what_is_read_as_pairs(tmp_path: Path) -> None:
    """A file that is left out, or a column taken for another, would change what the benchmark's number means."""
    how = How(skip_unreadable=True)
    with pytest.raises(ConfigError, match="rewardbench has columns of its own; leave out --columns"):
        read(lines(tmp_path / "a.jsonl", RAW), how=how)
    assert len(read(lines(tmp_path / "a.jsonl", RAW), "pairs", how=how).items) == 4
    lines(tmp_path / "judged" / "a.jsonl", [JUDGED])
    (tmp_path / "judged" / "b.jsonl").write_text("")
    assert read(tmp_path / "judged", how=how).benchmark == "judgebench"


def test_files_of_a_benchmark_that_are_counted_by_a_column_are_said_to_be_pairs(tmp_path: Path) -> None:
    heard = Heard()
    assert read(lines(tmp_path / "a.jsonl", RAW), group="subset", heard=heard).benchmark == "pairs"
    assert "these are files of rewardbench; by a column they are counted as pairs" in text(heard)


def test_splits_that_are_scored_together_are_said(tmp_path: Path) -> None:
    """As of an export, whose train split a reward model may have been trained on."""
    for split in ("train", "test"):
        lines(tmp_path / f"{split}.jsonl", [{"prompt": split, "chosen": "Tin.", "rejected": "Wood."}])
    heard = Heard()
    assert len(read(tmp_path, heard=heard).items) == 2
    assert f"for testing ({tmp_path / 'test.jsonl'}) are scored together" in text(heard)
    heard = Heard()
    read(tmp_path / "test.jsonl", heard=heard)
    assert "scored together" not in text(heard)


def test_rows_that_are_no_pairs_are_said_by_reason(tmp_path: Path) -> None:
    heard = Heard()
    rows = [JUDGED, JUDGED | {"label": "A=B"}, JUDGED | {"question": "other", "response_A": None}]
    found = read(lines(tmp_path / "a.jsonl", rows), heard=heard)
    assert (len(found.items), found.unread) == (1, 2)
    assert "2 rows are no pairs and are set aside: empty_chosen 1, tie 1" in text(heard)


def test_scores_may_be_written_as_texts_and_lists_be_of_one_length(tmp_path: Path) -> None:
    expected = read(lines(tmp_path / "a.jsonl", [BEST])).items
    assert expected[0].quality == (1.0, 0.0, 0.0)
    assert read(lines(tmp_path / "b.jsonl", [BEST | {"scores": ["1", "0", "0.0"]}])).items == expected
    pl.DataFrame([BEST]).with_columns(pl.col("scores").list.to_array(3)).write_parquet(tmp_path / "c.parquet")
    assert read(tmp_path / "c.parquet").items == expected
    named = pl.DataFrame(FILTERED).with_columns(pl.col("subset").cast(pl.Categorical))
    named.write_parquet(tmp_path / "d.parquet")
    assert groups(read(tmp_path / "d.parquet")) == {"hep-cpp": 3}


def test_replies_without_a_quality_are_left_out_and_counted(tmp_path: Path) -> None:
    heard = Heard()
    found = read(lines(tmp_path / "a.jsonl", [BEST, BEST | {"response_3": None, "scores": [None, 1, 0]}]), heard=heard)
    assert [item.replies for item in found.items] == [("a", "b", "c"), ("b",)]
    assert "2 replies without a text or a score are left out" in text(heard)


def test_prompts_of_rewardbench_2_may_be_conversations(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    assert read(lines(tmp_path / "a.jsonl", [SEVERAL | {"prompt": turns}])).items[0].prompt == turns
