"""Rows written to a file and read."""

import io
import json

import polars as pl

from factory.readers import read_pairs

ROW = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
LINE = json.dumps(ROW).encode()
CSV = b"prompt,chosen,rejected\nWhy?,Because.,No.\n"


def parquet() -> bytes:
    held = io.BytesIO()
    pl.DataFrame([ROW]).write_parquet(held)
    return held.getvalue()


def read(tmp_path, *rows, reader=read_pairs):
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    split = reader(file)
    return split.kept.lazy().collect().to_dicts(), split.rejected.lazy().collect().to_dicts()
