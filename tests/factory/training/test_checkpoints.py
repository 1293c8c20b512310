"""Which checkpoint a training goes on from."""

import json

import pytest

from factory.training import checkpoints


def checkpoint(out, step, whole=True):
    folder = out / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    if whole:
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return folder


def test_the_latest_whole_checkpoint_is_taken(tmp_path):
    checkpoint(tmp_path, 9)
    latest = checkpoint(tmp_path, 10)
    checkpoint(tmp_path, 11, whole=False)
    (checkpoint(tmp_path, 12) / "trainer_state.json").write_text('{"global_st')
    assert checkpoints.last(tmp_path) == (str(latest), 10)


def test_without_checkpoints_a_training_begins_at_step_0(tmp_path):
    assert checkpoints.last(tmp_path) == (None, 0)


def test_another_trainings_checkpoints_are_removed_and_steps_that_are_done_again_forgotten(tmp_path):
    checkpoints.claim(tmp_path / "out", "first")
    checkpoint(tmp_path / "out", 5)
    (tmp_path / "out" / "metrics.jsonl").write_text('{"step": 5}\n{"step": 6}\n{"st')
    checkpoints.claim(tmp_path / "out", "first")
    assert (tmp_path / "out" / "metrics.jsonl").read_text() == '{"step": 5}\n'
    assert checkpoints.last(tmp_path / "out").step == 5
    checkpoints.claim(tmp_path / "out", "second")
    assert checkpoints.last(tmp_path / "out").folder is None
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_unclaimed_ones_are_removed_too(tmp_path):
    checkpoint(tmp_path, 5)
    checkpoints.claim(tmp_path, "mine")
    assert checkpoints.last(tmp_path).folder is None


def test_a_checkpoint_whose_removal_was_killed_is_not_gone_on_from(tmp_path, monkeypatch):
    def killed(path):
        raise KeyboardInterrupt

    checkpoint(tmp_path, 5)
    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.clear(tmp_path)
    assert checkpoints.last(tmp_path).folder is None


def test_clearing_leaves_the_rest(tmp_path):
    checkpoints.claim(tmp_path, "mine")
    checkpoint(tmp_path, 5)
    (tmp_path / "policy").mkdir()
    checkpoints.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
