"""Rows written to a file and read."""

import json

from factory.readers import read_pairs


def read(tmp_path, *rows, reader=read_pairs):
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    split = reader(file)
    return split.kept.lazy().collect().to_dicts(), split.rejected.lazy().collect().to_dicts()
