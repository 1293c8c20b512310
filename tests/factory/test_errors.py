"""Errors: each has an exit code, and says its sentence."""

import re
from pathlib import Path

import pytest

from factory import errors
from factory.errors import FactoryError, MissingExtraError, harmless

ALL = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, FactoryError)]
CODES = {"ConfigError": 2, "InputError": 2, "MissingExtraError": 2, "InterruptedRunError": 130}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_error_has_its_exit_code_and_says_what_it_is(kind):
    assert kind.exit_code == CODES.get(kind.__name__, 1)
    assert kind.__doc__


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234567, "0.01235"), (12.0, "12"), (23470.4, "23,470"), (999.96, "1,000"), (1e9, "1,000,000,000")],
)
def test_numbers_are_written_out(value, text):
    assert errors.number(value) == text


@pytest.mark.parametrize(
    ("ends", "spec", "text"),
    [((10, 12), ",", "10 to 12"), ((10, 10), ",", "10"), ((0.9996, 1.0), ".1%", "100.0%"), (("–", "–"), "", "–")],
)
def test_a_range_whose_ends_read_alike_is_one_number(ends, spec, text):
    assert errors.span(*ends, spec) == text


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [(1, 0, "100 %"), (0.9996, 0, "99.96 %"), (0.9996, 1, "99.96 %"), (0.0004, 1, "0.04 %"), (1 - 1e-12, 1, "100.0 %")],
)
def test_a_share_reads_as_none_or_all_only_where_it_is(share, digits, text):
    assert errors.percent(share, digits) == text


def test_every_share_is_written_so():
    """`{share:.1%}` and `{100 * share:.1f} %` are written by hand; of a sign before it, a difference is told."""
    root = Path(errors.__file__).parents[1]
    for path in (path for folder in ("factory", "filters", "principles") for path in root.glob(f"{folder}/**/*.py")):
        by_hand = re.search(r"[:'\"]\.[1-9]%|(?<!\+)\.\w+\} %(?!\()", path.read_text(encoding="utf-8"))
        assert by_hand is None or path.name == "errors.py", f"{path}: {by_hand} is not written by errors.percent"


def test_every_range_is_written_so():
    """Both ends beside each other in one text are written by hand."""
    root = Path(errors.__file__).parents[1]
    for folder in ("factory", "filters", "principles"):
        for path in (*root.glob(f"{folder}/**/*.py"), *root.glob(f"{folder}/**/*.jinja")):
            by_hand = re.search(r"\{[^{}]*\b(low|from)\b[^{}]*\}+ (to|–) \{", path.read_text(encoding="utf-8"))
            assert by_hand is None, f"{path}: {by_hand and by_hand[0]} is not written by errors.span"


def test_the_law_of_exit_codes_sees_every_error():
    assert {kind.__name__ for kind in ALL} >= set(CODES)


def test_a_missing_extra_says_how_to_get_it(tmp_path, monkeypatch):
    """As it was installed: from a checkout, as here, or by its name."""
    root = Path(errors.__file__).parents[1]
    said = f"this needs the package torch: pip install -e '{root}[train]'"
    assert str(MissingExtraError("train", "torch")) == said
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "factory" / "errors.py"))
    assert str(MissingExtraError("train", "torch")) == "this needs the package torch: pip install 'sso-factory[train]'"


def test_a_text_keeps_its_lines_and_spaces_and_steers_no_terminal():
    assert harmless("a\x1b[2Jb\n\u202ec\td\u00a0e\u3000f\x9b1m") == "a [2Jb\n c d\u00a0e\u3000f 1m"


def test_a_sentence_is_one_line_whatever_it_names():
    assert str(FactoryError("the key a\nb\x00 is unknown")) == "the key a b is unknown"
