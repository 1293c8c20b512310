"""The experiment on the loss's parts: its statistics by hand, its page from its results, its cells resumable."""

import json
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import mechanism_pool
from benchmarks.mechanism_behaviour import behaviours, collect_behaviour
from benchmarks.mechanism_report import END, RESULTS, begin, block
from benchmarks.mechanism_statistics import by_seed, estimate, holm, measures, over_seeds, sign_flip
from factory.config.engines import TransformersEngine
from factory.engines.base import Completion
from factory.models.ref import ModelRef
from tests.tiny import tiny_model_folder

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "replication.md").read_text("utf-8")


def test_the_measures_are_those_by_hand() -> None:
    """Against a reference of zeros: S = ((1 - 3) + (2 - 5)) / 2, P = 0.66 * 4 + 0.34 * 6, M = 4 - 6."""
    values = {
        "logp_chosen_plain": 4.0,
        "logp_rejected_plain": 6.0,
        "logp_chosen_good": 1.0,
        "logp_rejected_good": 3.0,
        "logp_original_bad": 2.0,
        "logp_chosen_bad": 5.0,
        "logp_rejected_bad": 7.0,
    }
    cell = {"logps": {name: [value] for name, value in values.items()}}
    found = measures(cell, {name: [0.0] for name in values})
    assert [found[name][0] for name in ("S", "P", "M", "naive")] == pytest.approx([-2.5, 4.68, -2.0, 2.0])


def test_sign_flips_and_holm_are_those_by_hand() -> None:
    """Of eight seeds on one side 2 of 256 sign patterns are as far out; of 3 to 1, all but the patterns nearer to 0."""
    assert sign_flip(np.arange(1.0, 9.0)) == 2 / 256
    assert sign_flip(np.array([3.0, -1.0])) == 1.0
    assert sign_flip(np.array([3.0, 1.0])) == 0.5
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_intervals_see_seeds_and_triples() -> None:
    """Values that differ by seed alone, or by triple alone, have an interval; those that do not differ have none."""
    shape = np.zeros((8, 36))
    for spread in (np.linspace(-1, 1, 8)[:, None], np.linspace(-1, 1, 36)[None, :]):
        found = estimate(shape + spread)
        assert found.low < -0.1 < 0.1 < found.high
    found = estimate(shape + 0.5)
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))
    assert (found.above, found.seeds) == (8, 8)


def test_one_value_a_seed_has_student_s_interval() -> None:
    """Of 1, 2 and 3: mean 2, standard error 1 over the root of 3, and 4.303 of them with two degrees of freedom."""
    found = over_seeds([1.0, 2.0, 3.0])
    assert (found.mean, found.high - 2, 2 - found.low) == pytest.approx((2, 4.3027 / 3**0.5, 4.3027 / 3**0.5), rel=1e-4)


KEPT = [file for file in sorted(RESULTS.glob("mechanism*.json")) if begin(file.stem) in PAGE]


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_the_page_is_what_its_results_say(file: Path) -> None:
    """Made anew by: python benchmarks/mechanism.py --report docs --name NAME."""
    found = json.loads(file.read_text("utf-8"))
    assert PAGE.split(begin(file.stem))[1].split(END)[0].strip() == block(found)


def test_the_page_s_own_words_give_no_number_that_its_tables_lack() -> None:
    assert PAGE.count(END) == len(KEPT) >= 1
    before, *rest = re.split("<!-- made from .* -->", PAGE)
    tables, after = zip(*(part.split(END) for part in rest), strict=True)
    # What it says of the GPU has a test of its own.
    words = re.sub("(?s)## The larger experiment on a GPU.*?\n## ", "", "".join(after))
    told = re.findall(r"[+-]\d\.\d+", words)
    assert len(told) > 30
    assert [number for number in told if number not in "".join(tables) and number not in before] == []


def test_what_came_of_the_gpu_is_what_its_cells_say() -> None:
    """Differences need no start policy; in brackets stand the means of the two seeds."""
    cells = json.loads((RESULTS / "mechanism_gpu.json").read_text("utf-8"))["cells"]
    reference = dict.fromkeys(cells[0]["logps"], [0.0] * 200)
    told = " ".join(PAGE.split("did not come to its endpoint")[1].split("\n## ")[0].split())
    for second, measures_told in (("sso_no_g", "S"), ("sso_no_w", "P"), ("pbaa", "SPM")):
        assert f"`sso` less `{second}`" in told
        for measure in measures_told:
            one, other = (by_seed(cells, reference, arm, measure) for arm in ("sso", second))
            seeds = [float((one[seed] - other[seed]).mean()) for seed in (1, 2)]
            assert f"{measure} {sum(seeds) / 2:+.4f} ({seeds[0]:+.4f}, {seeds[1]:+.4f})" in told


def test_a_failed_reply_is_no_sample_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Completion("1", "Yes.", "stop"), Completion("2", None, None, error="no kernel")]
    opened = nullcontext(SimpleNamespace(generate=lambda requests: iter(answers)))
    monkeypatch.setattr(mechanism_pool, "open_generator", lambda engine, policy: opened)
    with pytest.raises(SystemExit, match="1 of 2 replies failed; the first: no kernel"):
        mechanism_pool.answered(ModelRef("x"), TransformersEngine(), [])


def behaving(folder: Path, arm: str, seed: int, difference: list[float], replies: int = 2) -> None:
    """A made-up cell of four prompts under two features."""
    signs = [[int(one > 0), int(one < 0)] for one in difference]
    found = {"replies": replies, "features": ["Mood", "Self"] * 2, "difference": difference, "signs": signs}
    cell = {"arm": arm, "seed": seed, "iteration": int(seed > 0), "behaviour": found}
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    (folder / "cells" / f"{arm}-{seed}.json").write_text(json.dumps(cell), "utf-8")


def test_behaviour_is_told_in_spreads_of_the_start_policy(tmp_path: Path) -> None:
    """Before, Mood is 0 and 2, spread 1, and Self 0 and 4, spread 2: all means are in these.

    `sso` has (1, 3) and (2, 6) in seeds 1 and 2, so 2 and (1 + 3) / 2 = 2; `pbaa`, the same in seed 1 and 2, 1 and 2
    spreads less. Seed 3 of `sso` has no fellow, and stands in no contrast.
    """
    behaving(tmp_path, "start", 0, [0, 0, 2, 4])
    for seed in (1, 2):
        behaving(tmp_path, "sso", seed, [1, 2, 3, 6])
        behaving(tmp_path, "pbaa", seed, [0, -2, 2, 2])
    behaving(tmp_path, "sso", 3, [1, 2, 3, 0])
    kept = collect_behaviour(tmp_path)
    assert kept is not None
    text = "\n".join(behaviours(kept, 1))
    assert "| `start` | – | +1.0000 | +1.0000 | +1.0000 | 25.0% / 75.0% / 0.0% |" in text
    assert re.search(
        r"\| `sso` \| 3 \| \+1\.7500 \(.*\) \| \+2\.0000 \(.*\) \| \+1\.5000 \(.*\) \| 45\.8% / 54\.2%", text
    )
    assert "| `sso` - `pbaa` | 2 | +1.5000 (+1.0000 to +2.0000) | +1.0000 (+1.0000 to +1.0000) |" in text
    assert "| `sso` - `start` | 3 | " in text
    assert "sso_no_g" not in text
    assert behaviours(kept, 2) == behaviours(None, 1) == []


def test_behaviour_of_unlike_cells_is_not_mixed(tmp_path: Path) -> None:
    behaving(tmp_path, "sso", 1, [1, 2, 3, 6])
    with pytest.raises(SystemExit, match="no behaviour of the start policy"):
        collect_behaviour(tmp_path)
    behaving(tmp_path, "start", 0, [0, 0, 2, 4], replies=8)
    with pytest.raises(SystemExit, match=r"sso-1 .* other prompts or replies than start"):
        collect_behaviour(tmp_path)


def test_behaviour_of_another_folder_joins_the_page(
    program: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept cells stay as they are; what is added is small."""
    for place, arm in enumerate(("start", "sso", "pbaa", "sso")):
        behaving(tmp_path, arm, place, [0.5 * place, 0, 2, 4 - place])
    kept, results, page = RESULTS / "mechanism.json", tmp_path / "mechanism.json", tmp_path / "replication.md"
    results.write_bytes(kept.read_bytes())
    page.write_text(PAGE, "utf-8")
    monkeypatch.setattr("benchmarks.mechanism_report.RESULTS", tmp_path)
    monkeypatch.setattr("benchmarks.mechanism_report.plot_methods", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["x", "--report", str(tmp_path), "--behaviour", str(tmp_path)])
    program["main"]()
    found, before = (json.loads(path.read_text("utf-8")) for path in (results, kept))
    assert found | {"behaviour": None} == before | {"behaviour": None}
    assert found["behaviour"]["cells"][0].keys() == {"arm", "seed", "iteration", "difference", "signs"}
    made = page.read_text("utf-8").split(begin("mechanism"))[1].split(END)[0]
    assert "### Behaviour after one iteration\n" in made
    assert "### Behaviour after two iterations" not in made


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    return run_path(str(ROOT / "benchmarks" / "mechanism.py"))


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "nowhere"])
def test_smoke_says_what_does_not_run(
    device: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each check by itself, with its error as a whole."""
    smoke = run_path(str(ROOT / "benchmarks" / "smoke.py"))
    monkeypatch.setattr(sys, "argv", ["smoke.py", "--device", device])
    if device == "cpu":
        smoke["main"]()
    else:
        with pytest.raises(SystemExit, match="1"):
            smoke["main"]()
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("smoke: ")]
    assert len(told) == 5
    assert sum("FAILED" in line for line in told) == (0 if device == "cpu" else 3)


@pytest.mark.slow
def test_a_cell_is_made_once_and_plans_do_not_mix(
    program: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(tiny_model_folder(tmp_path / "model"))
    words = f"x --out {tmp_path / 'out'} --model {model} --pairs 2 --batch-pairs 1 --held-out 3 --prompts 2 --tokens 8"
    words += " --arms sso --seeds 1 --pool-seeds 1 --behaviour-prompts 3"
    monkeypatch.setattr(sys, "argv", [*words.split(), "--iterations", "2", "--replies", "1"])
    program["main"]()
    cells = {path.name: path.read_bytes() for path in (tmp_path / "out" / "cells").iterdir()}
    assert sorted(cells) == ["sso-1-1.json", "sso-1-2.json", "start-0-0.json"]
    second = json.loads(cells["sso-1-2.json"])
    assert second["made"]["pairs"] <= 2
    assert len(second["behaviour"]["difference"]) == 3
    assert list((tmp_path / "out" / "policies").iterdir()) == []

    (tmp_path / "out" / "cells" / "sso-1-2.json").unlink()
    program["main"]()
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / "cells").iterdir()} == cells

    monkeypatch.setattr(sys, "argv", [*words.split(), "--gamma", "0.5"])
    with pytest.raises(SystemExit, match="another gamma"):
        program["main"]()
