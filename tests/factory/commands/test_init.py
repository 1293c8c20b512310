"""`init`, where the disk is full."""

from pathlib import Path
from typing import Any

import pytest

from factory.commands.init import init


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's disk that is always full")
def test_where_one_file_cannot_be_written_none_stays_in_the_way_of_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", **more: Any) -> Any:
        made = opened(path, mode, **more)
        if (mode, path.name) != ("x", "prompts.jsonl"):
            return made
        made.close()
        return opened(Path("/dev/full"), "w")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(OSError, match="No space left"):
            init(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert [path.name for path in init(tmp_path)] == ["sso.yaml", "prompts.jsonl"]
