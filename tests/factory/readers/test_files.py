"""Files of every kind and state: read for what they are, or one sentence that names them."""

import bz2
import gzip
import io
import json
import pickle

import polars as pl
import pytest

from factory.errors import InputError
from factory.readers import load_pairs, read_pairs, read_prompts
from tests.bad_data import zstandard
from tests.pairs import assistant, user
from tests.reading import CSV, LINE, ROW, parquet


def arrow() -> bytes:
    held = io.BytesIO()
    pl.DataFrame([ROW]).write_ipc(held)
    return held.getvalue()


READABLE = {
    "x.jsonl": LINE,
    "x.ndjson": LINE + b"\n\n\r\n",
    "x.json": b"[" + LINE + b"]",
    "data.json": b'{"version": 1, "data": [' + LINE + b"]}",
    "train.json": b'{"train": [' + LINE + b"]}",
    "columns.json": b'{"prompt": ["Why?"], "chosen": ["Because."], "rejected": ["No."]}',
    "one.json": json.dumps(ROW, indent=2).encode(),
    "lines.json": LINE + b"\n" + json.dumps({**ROW, "prompt": "Who?"}).encode(),
    "list.jsonl": b"[" + LINE + b"]",
    "x.csv": CSV,
    "semicolon.csv": CSV.replace(b",", b";"),
    "x.tsv": CSV.replace(b",", b"\t"),
    "windows.csv": CSV.replace(b"\n", b"\r\n"),
    "quoted.csv": b'prompt,chosen,rejected\n"Why?","Because.","No."\n',
    "x.parquet": parquet(),
    "x.arrow": arrow(),
    "x.jsonl.gz": gzip.compress(LINE),
    "x.JSONL.GZ": gzip.compress(LINE),
    "x.csv.gz": gzip.compress(CSV),
    "x.json.gz": gzip.compress(b"[" + LINE + b"]"),
    "x.parquet.gz": gzip.compress(parquet()),
    "x.jsonl.zst": zstandard(LINE),
    "x.JSON.ZST": zstandard(b"[" + LINE + b"]"),
    "x.csv.zst": zstandard(CSV),
    "x.parquet.zst": zstandard(parquet()),
    "one.json.zst": zstandard(json.dumps(ROW, indent=2).encode()),
    "several.jsonl.zst": zstandard(LINE[:9]) + zstandard(LINE[9:]),
    "pzstd.jsonl.zst": b"\x50\x2a\x4d\x18\x04\0\0\0size" + zstandard(LINE),
    "zstd_without_name.jsonl": zstandard(LINE),
    "gzip_without_name.jsonl": gzip.compress(LINE),
    "name_without_gzip.jsonl.gz": LINE,
    "no_ending": LINE,
    "csv_no_ending": CSV,
    "parquet_called.jsonl": parquet(),
    "jsonl_called.csv": LINE,
    "jsonl_called.txt": b'{"id": 1, ' + LINE[1:],
    "list_called.txt": b"[\n" + LINE + b"]",
    "one_called.txt": json.dumps(ROW, indent=2).encode(),
    "jsonl_called.parquet": LINE,
    "bom.jsonl": b"\xef\xbb\xbf" + LINE,
    "bom.json": b"\xef\xbb\xbf[" + LINE + b"]",
    "bom.csv": b"\xef\xbb\xbf" + CSV,
    "utf16.jsonl": LINE.decode().encode("utf-16"),
    "utf16.csv": CSV.decode().encode("utf-16"),
    "blank_lines.jsonl": b"\n \n" + LINE + b"\n\n",
    "macintosh.csv": CSV.replace(b"\n", b"\r"),
    "spreadsheet.csv": b"sep=;\r\n" + CSV.replace(b",", b";"),
    "pandas.json": json.dumps({name: {"0": cell} for name, cell in ROW.items()}).encode(),
    "pandas_split.json": json.dumps({"columns": [*ROW], "index": [0], "data": [[*ROW.values()]]}).encode(),
    "pandas_square.json": json.dumps({"columns": [*ROW], "index": [0, 1, 2], "data": [[*ROW.values()]] * 3}).encode(),
    "talks.json": json.dumps({side: [user("Why?"), assistant(ROW[side])] for side in ("chosen", "rejected")}).encode(),
    "ended_twice.csv": CSV.replace(b"\n", b"\r\r\n"),
    "splits.json": b'{"train": [' + LINE + b'], "test": [' + LINE + b"]}",
    "splits_under_a_name.json": b'{"version": "1", "data": {"train": [' + LINE + b"]}}",
    "named.json": b'{"version": 1, "tags": [{"id": 3}], "examples": [' + LINE + b"]}",
    "server.json": b'{"features": [{"name": "prompt"}], "rows": [{"row_idx": 0, "row": '
    + LINE
    + b', "truncated_cells": []}]}',
    "by_id.json": b'{"a1": ' + LINE.strip() + b"}",
    "spaced.csv": b'prompt, chosen, rejected\n"Why?", "Because.", "No."\n',
    "marks.tsv": b'prompt\tchosen\trejected\n"Why?"\t"Because."\tNo.\n"Who?\t"a\tb\n',
}


@pytest.mark.parametrize("name", READABLE)
def test_every_way_to_write_a_file_reads_the_same(name, tmp_path):
    file = tmp_path / name
    file.write_bytes(READABLE[name])
    pairs = load_pairs(file)
    two = ("lines.json", "splits.json", "marks.tsv")
    assert pairs.height == (2 if name in two else 3 if name == "pandas_square.json" else 1)
    row = pairs.row(0, named=True)
    assert (row["prompt"][-1]["content"], row["chosen"], row["rejected"]) == ("Why?", "Because.", "No.")
    assert row["source"] == name.split(".", 1)[0]


DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000
UNREADABLE = {
    "empty.jsonl": (b"", "the file is empty"),
    "empty.parquet": (b"", "the file is empty"),
    "empty.csv.gz": (gzip.compress(b""), "the file is empty"),
    "blank.jsonl": (b"\n\n  \n", "it holds no row"),
    "empty_list.json": (b"[]", "it holds no row"),
    "unmarked_utf16.csv": (CSV.replace(b"\n", b"\r\n").decode().encode("utf-16-le"), "line 1: not CSV"),
    "header.csv": (b"prompt,chosen,rejected\n", "it holds no row"),
    "garbage.jsonl": (b"hello\nworld\n", "line 1 is not JSON"),
    "garbage.json": (b'{"a": [1, 2', "line 1: not JSON"),
    "cut.json": (b'[{"prompt": "Why?"},\n{"prompt": ', "line 2: not JSON"),
    "numbers.jsonl": (b"1\n2\n", "line 1 holds a number where an object must be"),
    "texts.json": (b'["a", 1]', "row 1 holds a text where an object must be"),
    "nul.jsonl": (b"\0" * 64, "line 1 is not JSON"),
    "latin.json": ('[{"prompt": "caf\xe9"}]'.encode("latin-1"), "line 1: not UTF-8 text"),
    "latin.csv": ("prompt,chosen,rejected\na,b,c\nx,caf\xe9,z\n".encode("latin-1"), "line 3: not UTF-8 text"),
    "open_quote.csv": (b'prompt,chosen,rejected\na,"b,c\n', "not CSV"),
    "mark.csv": (
        b'prompt,chosen,rejected\na,"b "c" d",e\n',
        "line 2: a quotation mark within a quoted cell is not doubled",
    ),
    "wide.tsv": (b"prompt\tscores\nHi\t1\t2\t3\n", "no row of it can be read: line 2 has 4 cells and the header 2"),
    "twice.csv": (b"prompt,chosen,chosen\na,b,c\n", "the column 'chosen' is there twice"),
    "key.json": (b"[" + LINE.replace(b"{", b'{"chosen": "a", ') + b"]", "an object has the key 'chosen' twice"),
    "key.jsonl": (LINE.replace(b"{", b'{"chosen": "a", '), "line 1 has the key 'chosen' twice"),
    "deep.json": (b"[" + DEEP + b"]", "row 1 is nested too deeply"),
    "twice.jsonl.gz": (gzip.compress(gzip.compress(LINE)), "is compressed twice"),
    "deep.jsonl": (DEEP, "line 1 is nested too deeply"),
    "deeper.jsonl": (b"[" * 200_000, "nested too deeply"),
    "digits.jsonl": (b'{"a": ' + b"1" * 5000 + b"}", "cannot be read"),
    "cut.parquet": (parquet()[:-20], "cannot be read"),
    "fake.parquet": (b"PAR1 not really", "cannot be read"),
    "word.parquet": (b"hello", "is called .parquet and is none"),
    "cut.jsonl.gz": (gzip.compress(LINE * 1000)[:-20], "the gzip data in it is damaged or cut off"),
    "broken.jsonl.gz": (gzip.compress(LINE)[:12] + b"\0" * 40, "the gzip data in it is damaged"),
    "head.gz": (b"\x1f\x8b", "the gzip data in it is damaged"),
    "page.jsonl": (b"<!DOCTYPE html><html>404</html>", "is a web page"),
    "x.jsonl.zst": (b"\x28\xb5\x2f\xfd....", "the Zstandard data in it is damaged"),
    "twice.jsonl.zst": (zstandard(zstandard(LINE)), "is compressed twice"),
    "x.jsonl.bz2": (bz2.compress(LINE), "is compressed with bzip2"),
    "x.zip": (b"PK\x03\x04....", "is a ZIP archive"),
    "x.pkl": (pickle.dumps([ROW]), "is a Python pickle"),
    "notes.md": (b"# Notes\n", "is no Parquet, JSONL, JSON or CSV"),
    "other.jsonl": (b'{"question": "a", "answer": "b"}', "question (text), answer (text)"),
    "prompts.txt": (b"Why?\nWho?\n", "no pairs can be read from its columns, prompt (text)"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_broken_file_is_one_sentence_that_names_it(name, tmp_path):
    content, sentence = UNREADABLE[name]
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_pairs(file)
    text = str(caught.value)
    assert str(file) in text
    assert sentence in text
    assert "\n" not in text


def test_a_file_that_fits_no_layout_is_told_the_nearest_and_where_all_of_them_stand(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps({"q": "a", "scores": [1], "meta": {}, "n": 1, "ok": True}))
    with pytest.raises(
        InputError, match=r"q \(text\), scores \(text\), meta \(text\), n \(number\), ok \(true or fal"
    ) as e:
        read_pairs(file)
    assert "the nearest layouts are candidates (prompt, and completions" in str(e.value)
    assert "docs/formats.md has them all" in str(e.value)
    with pytest.raises(InputError, match="no column holds prompts; it has q"):
        read_prompts(file)


BAD_LINES = {
    "latin": ('{"prompt": "caf\xe9"}'.encode("latin-1"), "line 2 is not UTF-8 text"),
    "cut": (b'{"prompt": "Why', "line 2 is not JSON"),
    "list": (b"[1, 2]", "line 2 holds a list where an object must be"),
    "nul": (b'{"prompt": "a\0b"}', "line 2 is not JSON"),
    "null": (b"null", "line 2 holds null"),
    "deep": (DEEP, "line 2 is nested too deeply"),
    "other": (b'{"query": "x", "chosen": 5, "rejected": 6}', "no layout fits its columns"),
    "numbers": (b'{"prompt": 1, "chosen": 2, "rejected": 3}', "no layout fits its columns"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_set_aside_with_its_place(name, tmp_path):
    bad, detail = BAD_LINES[name]
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"\n".join([LINE, bad, LINE.replace(b"Why", b"Who")]))
    split = read_pairs(file)
    assert split.kept.collect()["chosen"].to_list() == ["Because."] * 2
    (row,) = split.rejected.collect().to_dicts()
    assert (row["filter"], row["reason"], row["source"]) == ("read", "unreadable", "x")
    assert row["detail"].startswith(detail)
    assert row["row"]


@pytest.mark.parametrize("bad", [DEEP, b'{"a": ' + b"1" * 5000 + b"}"])
def test_a_row_of_a_json_list_that_cannot_be_parsed_costs_itself_alone(bad, tmp_path):
    file = tmp_path / "x.json"
    tricky = json.dumps({**ROW, "chosen": 'a "]", [{', "note": {"b": [1, "]"]}}).encode()
    file.write_bytes(b"[\n" + b",\n".join([LINE.strip(), bad, tricky]) + b"\n]\n")
    split = read_pairs(file)
    assert split.kept.collect()["chosen"].to_list() == ["Because.", 'a "]", [{']
    (row,) = split.rejected.collect().to_dicts()
    assert row["detail"].startswith("row 2 ")


def test_bytes_that_are_no_text_cost_their_row(tmp_path):
    frame = pl.DataFrame({name: [b"\xff\xfe", cell.encode()] for name, cell in ROW.items()})
    split = read_pairs(frame)
    assert split.kept.collect()["chosen"].to_list() == ["Because."]
    assert split.rejected.collect().height == 1


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_a_key_that_is_there_twice_costs_its_line_and_one_of_another_object_nothing(ending, tmp_path):
    twice = {"prompt": "Who?", "chosen": "I.", "rejected": '"chosen"', "about": {"chosen": 1, "prompt": 2}}
    rows = [json.dumps(twice), *([LINE.decode().replace("{", '{"prompt": "x", ')] if ending == "jsonl" else [])]
    file = tmp_path / f"x.{ending}"
    file.write_text("\n".join(rows) if ending == "jsonl" else f"[{', '.join(rows)}]")
    read = read_pairs(file)
    assert read.kept.collect()["chosen"].to_list() == ["I."]
    assert read.reasons() == ({"unreadable": 1} if ending == "jsonl" else {})


def test_a_row_of_a_csv_with_too_many_cells_is_set_aside(tmp_path):
    file = tmp_path / "x.csv"
    file.write_bytes(CSV + b'Who?,"a,\nb",c,d\nHow?,e,f\n')
    split = read_pairs(file)
    assert split.kept.collect()["chosen"].to_list() == ["Because.", "e"]
    assert split.rejected.collect()["detail"].to_list() == ["line 4 has 4 cells and the header 3"]


def test_a_header_within_a_csv_is_no_pair_of_its_names(tmp_path):
    """As `cat a.csv b.csv` leaves it; a reply that is one of those words alone is a reply."""
    file = tmp_path / "x.csv"
    file.write_bytes(CSV + CSV + b"Which side?,chosen,rejected\n")
    split = read_pairs(file)
    assert split.kept.collect()["chosen"].to_list() == ["Because.", "Because.", "chosen"]
    assert split.rejected.collect()["detail"].to_list() == ["it is the header once more"]


MARKED = {
    "doubled": ('"say ""a, b"" now"', 'say "a, b" now'),
    "behind a backslash": (r'"say \"a, b\" now"', 'say "a, b" now'),
    "behind a backslash, without a comma": (r'"say \"a\" now"', 'say "a" now'),
    "behind a backslash that is doubled itself": (r'"a path C:\\" "', None),
    "in a cell without marks": ('say "a" now', 'say "a" now'),
    "at the end, behind a backslash": ('"ends in C:\\"', "ends in C:\\"),
    "a formula": (r'"\frac{1}{2} is \"half\""', r'\frac{1}{2} is "half"'),
}


@pytest.mark.parametrize("name", MARKED)
def test_quotation_marks_in_cells_of_csv_stay_or_the_file_is_refused(name, tmp_path):
    written, cell = MARKED[name]
    file = tmp_path / "x.csv"
    file.write_text(f'prompt,chosen,rejected\n"Why?",{written},No.\n')
    if cell is None:
        with pytest.raises(InputError, match="line 2: a quotation mark"):
            read_pairs(file)
    else:
        assert load_pairs(file)["chosen"].to_list() == [cell]


@pytest.mark.parametrize("word", ["", '""', "nan", "NaN", "None", "null", "NULL", "<NA>", '"nan"'])
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_cell_that_says_it_has_no_value_is_missing(word, ending, tmp_path):
    file, mark = tmp_path / f"x.{ending}", {"csv": ",", "tsv": "\t"}[ending]
    rows = [
        ("prompt", "chosen", "rejected", "topic"),
        ("Why?", "Because.", word, "None"),
        ("Who?", "I.", "N/A", "None"),
    ]
    file.write_text("".join(mark.join(row) + "\n" for row in rows))
    read = read_pairs(file)
    assert read.kept.collect().select("rejected", "topic").rows() == [("N/A", "None")]
    assert read.reasons() == {"empty_rejected": 1}


def test_csv_keeps_texts_that_look_like_numbers(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("prompt,chosen,rejected,iteration,note\n1+1?,2,3.0,1,007\n")
    (row,) = load_pairs(file).to_dicts()
    assert (row["chosen"], row["rejected"], row["iteration"], row["note"]) == ("2", "3.0", 1, "007")


def test_lone_surrogates_are_replaced(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text('{"prompt": "a\\ud800b", "chosen": "\\ud83d\\ude00", "rejected": "\\udfff", "k\\ud800": "v"}')
    (row,) = load_pairs(file).to_dicts()
    assert (row["prompt"][0]["content"], row["chosen"], row["rejected"]) == ("a\ufffdb", "\U0001f600", "\ufffd")
    assert row["k\ufffd"] == "v"


def test_nul_characters_in_texts_survive(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text('{"prompt": "a\\u0000b", "chosen": "c", "rejected": "d"}')
    assert load_pairs(file)["prompt"][0][0]["content"] == "a\0b"


def test_a_cell_of_ten_megabytes_is_read_whole(tmp_path):
    big = "word " * 2_000_000
    for name, text in (
        ("x.jsonl", json.dumps({**ROW, "chosen": big})),
        ("x.csv", f"prompt,chosen,rejected\na,{big},b,c\na,{big},b\n"),
    ):
        file = tmp_path / name
        file.write_text(text)
        assert load_pairs(file)["chosen"].str.len_chars().to_list() == [len(big)]


def test_a_column_of_mixed_types_keeps_every_value(tmp_path):
    rows = [{**ROW, "n": 1}, {**ROW, "n": 2.5}, {**ROW, "n": "three"}, {**ROW, "n": [4]}, {**ROW, "n": None}]
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert sorted(map(str, load_pairs(file)["n"])) == ["1.0", "2.5", "None", "[4]", "three"]
