"""What the YAML reader takes and what it refuses, with the sentence it says."""

import pytest

from factory.errors import InputError
from factory.files.yaml_file import read_yaml


def read(tmp_path, content):
    path = tmp_path / "set.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_yaml(path)


def test_plain_values_are_read_with_and_without_a_byte_order_mark(tmp_path):
    assert read(tmp_path, "a: 1\nb: [x, y]\n") == {"a": 1, "b": ["x", "y"]}
    assert read(tmp_path, b"\xef\xbb\xbfa: 1\n") == {"a": 1}


def test_the_same_key_in_two_mappings_is_fine(tmp_path):
    assert read(tmp_path, "- {a: 1}\n- {a: 2}\n") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", "set.yaml, line 3: the key a is there twice"),
        ("f:\n  - good: {x: 1, x: 2}\n", "line 2: the key x is there twice"),
        ("a: [1\n", "line 2"),
        ("a: \x07\n", "correct the file"),
        ("a: !!python/object/apply:os.system ['true']\n", "line 1: could not determine a constructor"),
        (b"a: \xff\xfe\n", "not UTF-8"),
        ("{" * 5000, "correct the file"),
        ("? {a: 1}\n: 2\n", "correct the file"),
        ("a: 2020-99-99\n", "correct the file"),
        ("x" * 10_000_001, "larger than 10,000,000 bytes"),
    ],
)
def test_a_key_twice_and_what_is_no_yaml_are_refused_with_the_line(tmp_path, content, says):
    with pytest.raises(InputError) as refused:
        read(tmp_path, content)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_yaml(path)
