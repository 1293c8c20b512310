import json

from filters import build, pair_words
from tests.filters.table import row, run, table
from tests.pairs import assistant, pair, user

PROMPT = "Describe in one paragraph how a bill becomes a law in a country of your choice"
SHORT = "What is the capital of France?"


def bench(tmp_path):
    path = tmp_path / "bench.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in (PROMPT, SHORT)))
    return {"use": "decontaminate", "files": [str(path)]}


def test_prompts_and_replies_are_scanned_and_the_item_is_named(tmp_path):
    turns = [user("hello"), assistant(f"You asked: {SHORT}"), user("go on")]
    pairs = table(
        [
            row("clean"),
            row("exact", prompt=PROMPT.lower()),
            row("in chosen", chosen=f"The question was {SHORT} and it is Paris."),
            row("in rejected", rejected=f"As they say: {PROMPT}, that is it"),
            row("in original", original=SHORT),
            row("flagged", prompt="In one paragraph how a bill becomes a thing"),
            {**pair(turns, "a", "b"), "tag": "in a turn"},
            {**pair([], "c", "d"), "tag": "no turn"},
        ]
    )
    found = run(bench(tmp_path), pairs)
    assert found.reasons == {
        "clean": None,
        "exact": "exact",
        "in chosen": "whole",
        "in rejected": "13_gram",
        "in original": "exact",
        "flagged": None,
        "in a turn": "whole",
        "no turn": None,
    }
    assert found.details["in chosen"] == "bench.jsonl:2 in chosen: what is the capital of france"
    assert found.details["in rejected"].startswith("bench.jsonl:1 in rejected: describe in one paragraph")
    flags = dict(found.kept.select("tag", "flags").iter_rows())
    assert flags.pop("flagged") == "decontaminate: bench.jsonl:1 in prompt: in one paragraph how a bill becomes"
    assert set(flags.values()) == {None}


def test_a_row_bears_its_plainest_hit(tmp_path):
    pairs = table([row("both", prompt=f"{SHORT} Tell me", chosen=PROMPT)])
    assert run(bench(tmp_path), pairs).reasons == {"both": "exact"}


def test_hits_are_found_in_every_part(tmp_path, monkeypatch):
    """Each part holds one pair."""
    monkeypatch.setattr(pair_words, "_AT_ONCE", 1)
    dirty = {0, 9, 10, 19}
    rows = [row(str(n), prompt=SHORT if n in dirty else f"question {n}") for n in range(20)]
    found = run(bench(tmp_path), table(rows))
    assert {int(tag) for tag, reason in found.reasons.items() if reason} == dirty


def test_without_flags_there_is_no_column(tmp_path):
    assert "flags" not in run(bench(tmp_path), table([row("clean")])).kept.columns


def test_the_fingerprint_covers_what_the_files_hold(tmp_path):
    block = bench(tmp_path)
    before = build([block])[0].fingerprint()
    (tmp_path / "bench.jsonl").write_text(json.dumps({"prompt": "another"}))
    after = build([block])[0].fingerprint()
    assert before["files"] == after["files"]
    assert before["prompts"] != after["prompts"]


def test_one_file_may_be_given_alone(tmp_path):
    block = bench(tmp_path)
    assert build([{**block, "files": block["files"][0]}]) == build([block])
