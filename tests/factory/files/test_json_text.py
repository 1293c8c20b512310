"""JSON nested deeper than can be read costs its own file or line, never a traceback."""

import pytest

from factory.errors import InputError
from factory.exports.check.rules import folder_problems
from factory.files.json_text import parsed, read_object
from factory.files.rows import rows
from factory.reviewing.labels import read_answers
from filters.benchmarks import read

DEEP = "[" * 100_000


def test_too_deep_is_a_value_error():
    with pytest.raises(ValueError, match="nested too deeply"):
        parsed(DEEP)


def test_files_of_ours_are_passed_over(tmp_path):
    for name in ("run.json", "dataset_info.json", "answers"):
        (tmp_path / name).write_text(DEEP + '\n{"pair_id": "a", "label": "tie"}\n')
    assert read_object(tmp_path / "run.json") == {}
    assert list(read_answers(tmp_path / "answers")) == ["a"]
    assert [problem.file.name for problem in folder_problems(tmp_path, "llamafactory")] == ["dataset_info.json"]


@pytest.mark.parametrize("name", ["deep.json", "deep.jsonl"])
def test_files_of_others_are_refused_in_a_sentence(tmp_path, name):
    place = tmp_path / name
    place.write_text(DEEP + "\n")
    for reader in (read, lambda path: list(rows(path))):
        with pytest.raises(InputError, match=f"{name}.*nested too deeply"):
            reader(place)
