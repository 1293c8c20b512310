"""Whatever bytes a file holds: its rows are kept or set aside, or it is refused in one sentence; nothing else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.config.load import load_config
from factory.errors import ConfigError, InputError
from factory.readers import read_pairs, read_prompts
from principles import load, template

ROW = json.dumps({"prompt": "Why?", "chosen": "Because.", "rejected": "No."}).encode()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["prompt", "chosen", "rejected", "messages", "turns", "system", "iteration", "__row", "x"])
ROWS = st.lists(st.dictionaries(NAMES, VALUES, max_size=5), min_size=1, max_size=4)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Lines that were good until bytes in them were replaced, put in or cut off."""
    data = bytearray(b"\n".join([ROW] * draw(st.integers(1, 3))))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
        if not data:
            return b""
    return bytes(data)


def one_sentence(error: BaseException, name: str) -> None:
    assert name in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "txt", "parquet", "jsonl.gz"])
@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=60) | broken())
def test_a_file_of_any_bytes_is_read_or_refused_in_a_sentence(ending, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / f"given.{ending}"
    path.write_bytes(data)
    for read in (read_pairs, read_prompts):
        try:
            split = read(path)
            assert split.kept.lazy().collect().height + split.rejected.lazy().collect().height > 0
        except InputError as error:
            one_sentence(error, path.name)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_rows_of_any_values_are_kept_or_rejected(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "given.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for read in (read_pairs, read_prompts):
        try:
            split = read(path)
        except InputError as error:
            one_sentence(error, path.name)
            continue
        assert split.kept.lazy().collect().height + split.rejected.lazy().collect().height == len(rows)
        assert split.rejected.lazy().collect()["reason"].null_count() == 0


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_a_configuration_set_or_template_of_any_bytes_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "given.yaml"
    path.write_bytes(data)
    for read in (load_config, load, template):
        with pytest.raises((ConfigError, InputError)) as caught:
            read(path)
        one_sentence(caught.value, path.name)
