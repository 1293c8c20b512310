import shutil

from factory.models.ref import ModelRef


def test_a_folder_is_known_by_what_is_in_it_and_not_by_where_it_lies(tmp_path):
    folder, copy = tmp_path / "model", tmp_path / "copy"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    shutil.copytree(folder, copy)
    first = ModelRef.by_content(str(folder))
    assert first.identity == ModelRef.by_content(str(copy)).identity
    assert first.called == str(folder)
    (copy / "policy.json").write_text("a record of how it was made")
    assert ModelRef.by_content(str(copy)).identity == first.identity
    (copy / "model.safetensors").write_bytes(b"weightz")
    assert ModelRef.by_content(str(copy)).identity != first.identity


def test_other_models_are_known_by_name(tmp_path):
    for name in ("org/model", "bundled:smollm2-135m-instruct", str(tmp_path / "gone")):
        assert ModelRef.by_content(name).identity == name


def test_a_model_at_home_is_known_by_content_too(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text("{}")
    assert ModelRef.by_content("~/m").identity == ModelRef.by_content(str(tmp_path / "m")).identity != "~/m"
