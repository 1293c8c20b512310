"""The reference is taken where it is known and measured once where it is not."""

from array import array

import pytest

from factory.models.layout import Encoded
from factory.training import reference
from factory.training.conditionals import Conditional
from factory.training.data import TrainingExample
from factory.training.reference import complete, store_for

NEEDED = [Conditional("chosen", "plain"), Conditional("rejected", "plain")]


def example(key, measured=None):
    return TrainingExample(
        f"pair-{key}", key, (Encoded(array("i", [1]), (array("i", [2]), array("i", [3]))),), measured
    )


class Meter:
    def __init__(self):
        self.asked = []

    def __call__(self, examples):
        self.asked.append(sorted(e.key for e in examples))
        return {e.key: (-1.0, -ord(e.key[0]) / 4) for e in examples}


def test_known_ones_are_not_measured(tmp_path):
    meter = Meter()
    found = complete([example("a", (-7.0, -8.0)), example("b")], store_for(tmp_path, "m", NEEDED), meter)
    assert meter.asked == [["b"]]
    assert found == {"a": (-7.0, -8.0), "b": (-1.0, -24.5)}


def test_measured_once_and_kept(tmp_path):
    meter, store = Meter(), store_for(tmp_path, "m", NEEDED)
    first = complete([example("a"), example("b"), example("b")], store, meter)
    again = complete([example("b"), example("a")], store_for(tmp_path, "m", NEEDED), meter)
    assert meter.asked == [["a", "b"]]
    assert first == again


def test_an_earlier_training_beside_it_serves_too(tmp_path):
    meter = Meter()
    complete([example("a")], store_for(tmp_path, "m", NEEDED), meter)
    complete([example("a")], store_for(tmp_path / ".partial", "m", NEEDED), meter)
    assert meter.asked == [["a"]]


@pytest.mark.parametrize(("policy", "needed"), [("other", NEEDED), ("m", NEEDED[:1])])
def test_another_policy_or_method_measures_for_itself(tmp_path, policy, needed):
    meter = Meter()
    complete([example("a")], store_for(tmp_path, "m", NEEDED), meter)
    store = store_for(tmp_path, policy, needed)
    assert store.read() == {}


def test_a_kill_costs_at_most_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "PART_PAIRS", 2)
    store, meter = store_for(tmp_path, "m", NEEDED), Meter()
    examples = [example(key) for key in "abcde"]

    def killed(asked):
        if len(meter.asked) == 2:
            raise KeyboardInterrupt
        return meter(asked)

    with pytest.raises(KeyboardInterrupt):
        complete(examples, store, killed)
    assert meter.asked == [["a", "b"], ["c", "d"]]
    assert complete(examples, store, meter).keys() == set("abcde")
    assert meter.asked[2:] == [["e"]]


def test_processes_that_do_not_write_leave_no_file(tmp_path):
    complete([example("a")], store_for(tmp_path, "m", NEEDED), Meter(), write=False)
    assert not list(tmp_path.iterdir())
