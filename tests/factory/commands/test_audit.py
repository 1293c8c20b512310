"""The audit command against a judge on this machine: what it writes, asks, reuses and refuses."""

import json
import re
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from factory.commands.audit import audit, audit_into
from factory.config import Audit, Config, Judge
from factory.config.apis import OpenaiEngine, Prices
from factory.config.engines import ScriptedEngine
from factory.errors import ConfigError, EngineError, InputError
from factory.exports.pages import document
from factory.line.preflight import preflight
from factory.progress import Silent
from factory.schema import JUDGMENTS, check
from factory.stages.audit_model import AuditReport
from factory.stages.audit_sample import AuditForecast
from factory.stages.pool import EnginePool
from factory.store import Workspace
from factory.store.journal import Journal
from factory.terminal import show
from tests import loopback
from tests.loopback import Loopback, judging, longer

KEYS = [
    "n",
    "right",
    "unsure",
    "wrong",
    "invalid",
    "accuracy_without_unsure",
    "accuracy_with_unsure",
    "wilson_low",
    "wilson_high",
    "flip_rate",
    "first_slot_rate",
    "longer_chosen_rate",
    "always_longer_accuracy",
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "cost",
    "strata",
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(document, "today", lambda: "2026-01-01")  # an audit made over midnight tells another date


def pairs_file(folder: Path, right: int = 12, wrong: int = 4, **columns: object) -> Path:
    """Pairs in which the chosen reply is the longer one so many times, and the shorter one so many times."""
    rows = [
        {
            "prompt": f"question {number}",
            "chosen": "a long reply" if number < right else "short",
            "rejected": "short" if number < right else "a long reply",
            **columns,
        }
        for number in range(right + wrong)
    ]
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_is_found_is_what_is_written_with_every_vote(tmp_path: Path) -> None:
    """A judge that likes length on 12 pairs with the longer reply chosen and 4 with the shorter one."""
    out = tmp_path / "audit"
    with Loopback(judging(longer)) as server:
        found = audit(pairs_file(tmp_path), out=out, judge="judge-1", base_url=server.base_url)
    assert isinstance(found, AuditReport)
    assert (found.n, found.right, found.unsure, found.wrong, found.invalid) == (16, 12, 0, 4, 0)
    assert (found.accuracy_without_unsure, found.longer_chosen_rate, found.always_longer_accuracy) == (0.75, 0.75, 1.0)
    assert (found.requests, found.first_slot_rate, found.cost) == (32, 0.5, None)
    written = json.loads((out / "audit.json").read_text())
    assert AuditReport.model_validate(written) == found
    assert set(KEYS) <= written.keys()
    votes = pl.read_parquet(out / "judgments.parquet")
    check(votes, JUDGMENTS)
    assert votes.height == 32
    assert "12 of 16 pairs are right" in (out / "audit.md").read_text()
    assert (out / "audit.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_call_again_asks_nothing(tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path)
    with Loopback(judging(longer)) as server:
        first = audit(pairs, out=tmp_path / "out", base_url=server.base_url)
        asked = len(server.asked)
        assert audit(pairs, out=tmp_path / "out", base_url=server.base_url) == first
        assert len(server.asked) == asked == 32
        assert server.asked[0].body["model"] == "gpt-4o"
        audit(pairs, out=tmp_path / "out", base_url=server.base_url, judge="another")
        assert len(server.asked) == 64


def test_a_stopped_audit_goes_on_and_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path)
    spent = [True]
    fault = lambda seen: loopback.no_quota() if spent[0] and seen.number >= 10 else None  # noqa: E731
    with Loopback(judging(longer), fault) as server:
        with pytest.raises(EngineError, match="no credit left"):
            audit(pairs, out=tmp_path / "broken", base_url=server.base_url)
        assert not (tmp_path / "broken" / "audit.json").exists()
        spent[0], before = False, len(server.asked)
        broken = audit(pairs, out=tmp_path / "broken", base_url=server.base_url)
        assert len(server.asked) - before == 32 - 10
        unbroken = audit(pairs, out=tmp_path / "unbroken", base_url=server.base_url)
    assert broken == unbroken
    for name in ("audit.json", "audit.md", "audit.html", "audit.png", "judgments.parquet"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()


def test_no_more_pairs_are_judged_than_the_sample_asks_for(tmp_path: Path) -> None:
    with Loopback(judging(longer)) as server:
        found = audit(pairs_file(tmp_path), out=tmp_path / "out", base_url=server.base_url, sample=5)
    assert isinstance(found, AuditReport)
    assert (found.pairs, found.requests) == (5, 10)


def test_dry_run_counts_and_sends_nothing(tmp_path: Path) -> None:
    engine = OpenaiEngine(prices=Prices(prompt=2.0, completion=8.0))
    with Loopback() as server:
        block = engine.model_copy(update={"base_url": server.base_url})
        config = Audit(judge=Judge(name="J", engine=block, max_new_tokens=4), sample=10)
        found = audit(pairs_file(tmp_path), out=tmp_path / "out", config=config, dry_run=True)
        assert server.log == []
    assert isinstance(found, AuditForecast)
    assert (found.pairs, found.requests, found.completion_tokens) == (10, 20, 80)
    assert found.prompt_tokens > 20 * 200
    assert found.cost == pytest.approx((found.prompt_tokens * 2.0 + 80 * 8.0) / 1e6)
    assert not (tmp_path / "out").exists()


def test_dry_run_of_a_model_on_this_machine_opens_nothing(tmp_path: Path) -> None:
    found = audit(pairs_file(tmp_path), out=tmp_path / "out", judge="org/not-there", dry_run=True)
    assert isinstance(found, AuditForecast)
    assert (found.requests, found.cost) == (32, None)


def test_an_audit_block_in_a_file(tmp_path: Path) -> None:
    with Loopback(judging(longer)) as server:
        block = f"judge: {{name: J, base_url: '{server.base_url}', max_new_tokens: 3}}\nsample: 4\n"
        (tmp_path / "audit.yaml").write_text(block)
        found = audit(pairs_file(tmp_path), out=tmp_path / "out", config=tmp_path / "audit.yaml")
        more = audit(pairs_file(tmp_path), out=tmp_path / "more", config=tmp_path / "audit.yaml", judge="K", sample=6)
    assert isinstance(found, AuditReport)
    assert isinstance(more, AuditReport)
    assert (found.judge, found.pairs) == ("J", 4)
    assert (more.judge, more.pairs) == ("K", 6)
    assert server.asked[-1].body["model"] == "K"
    assert server.asked[-1].body["max_completion_tokens"] == 3


def test_the_address_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(judging(longer)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        found = audit(pairs_file(tmp_path), out=tmp_path / "out", judge="org/served-model")
    assert isinstance(found, AuditReport)
    assert found.n == 16


def test_a_judge_that_wrote_the_pairs_is_refused(tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path, policy="org/gpt-4o@sso-1")
    with pytest.raises(ConfigError, match="wrote some of these pairs"):
        audit(pairs, out=tmp_path / "out", dry_run=True)
    assert audit(pairs, out=tmp_path / "out", dry_run=True, allow_self=True)


def test_a_judge_that_wrote_the_rejected_replies_is_refused(tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path, policy="strong", rejected_by="org/gpt-4o")
    with pytest.raises(ConfigError, match=r"wrote some of these pairs \(org/gpt-4o\)"):
        audit(pairs, out=tmp_path / "out", dry_run=True)


def test_a_judge_that_filtered_the_pairs_is_refused_and_others_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Votes recorded earlier are compared part by part."""
    monkeypatch.setattr("factory.stages.parts.AT_ONCE", 5)
    folder = tmp_path / "filtered"
    folder.mkdir()
    pairs = pairs_file(folder)
    with Loopback(judging(longer)) as server:
        audit(pairs, out=tmp_path / "first", judge="judge-1", base_url=server.base_url)
        (tmp_path / "first" / "judgments.parquet").rename(folder / "judgments.parquet")
        (folder / "funnel.json").write_text("{}")
        with pytest.raises(ConfigError, match="filtered these pairs"):
            audit(pairs, out=tmp_path / "out", judge="judge-1", base_url=server.base_url)
        with pytest.raises(ConfigError, match="lies around the input"):
            audit(pairs, out=folder, judge="judge-2", base_url=server.base_url)
        found = audit(pairs, out=tmp_path / "out", judge="judge-2", base_url=server.base_url)
    assert isinstance(found, AuditReport)
    assert [(row.judges, row.on, row.n, row.kappa) for row in found.agreement] == [
        (("judge-2", "judge-1"), "verdicts", 16, 1.0),
        (("judge-2", "judge-1"), "votes", 32, 1.0),
    ]
    assert found.requests == 32


def test_without_pairs_there_is_nothing_to_audit(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "q", "chosen": "same", "rejected": "same"}\n')
    with pytest.raises(InputError, match="no pairs to audit"):
        audit(path, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (12, "20 requests in a row had no answer, the last being 'not liked"),
        (4, "answered none of 16 questions: not liked"),
    ],
)
def test_a_judge_that_answers_nothing_is_an_error_and_no_result(tmp_path: Path, right: int, said: str) -> None:
    refuse = lambda seen: loopback.error(400, f"not liked: {seen.number}")  # noqa: E731
    with Loopback(faults=refuse) as server, pytest.raises(EngineError, match=said):
        audit(pairs_file(tmp_path, right), out=tmp_path / "out", base_url=server.base_url)
    assert not (tmp_path / "out" / "audit.json").exists()


def test_the_audit_that_closes_a_run(tmp_path: Path) -> None:
    raw = {"prompts": "p.txt", "engine": "scripted", "judges": ["filterer"]}
    config = Config.model_validate({**raw, "audit": {"judge": "auditor", "sample": 4}})
    pairs = pl.DataFrame(
        {
            "pair_id": [f"{number:032x}" for number in range(9)],
            "prompt_id": [f"{number:032x}" for number in range(9)],
            "prompt": [[{"role": "user", "content": f"q{number}"}] for number in range(9)],
            "chosen": [f"c{number}" for number in range(9)],
            "rejected": [f"r{number}" for number in range(9)],
        }
    )
    pairs.write_parquet(tmp_path / "kept.parquet")
    with EnginePool(Silent()) as engines, Journal(tmp_path / "journal") as journal:
        (tmp_path / "work").mkdir()
        work = Workspace(tmp_path / "work", journal)
        kept = tmp_path / "kept.parquet"
        facts = audit_into(work, kept, Judge(name="auditor"), engines, config, tmp_path / "no votes")
    for name in (config.policy.model, "filterer"):
        with pytest.raises(ConfigError, match=r"wrote some|filtered"):
            preflight(Config.model_validate({**raw, "audit": {"judge": name}}))
        preflight(Config.model_validate({**raw, "audit": {"judge": name, "allow_self": True}}))
    assert isinstance(config.engine, ScriptedEngine)
    assert AuditReport.model_validate(facts).pairs == 4
    assert {path.name for path in work.path.iterdir()} == {
        "audit.json",
        "audit.md",
        "audit.html",
        "audit.png",
        "judgments.parquet",
    }


def test_the_document_names_what_was_audited_and_shows_verdicts_as_they_came(tmp_path: Path) -> None:
    """Nine pairs by a judge that likes length: right, wrong, and one of equal lengths, on which it takes the first."""
    pairs = pairs_file(tmp_path, right=5, wrong=3)
    hostile = {"prompt": "q", "chosen": "```\n# <script>x</script>|", "rejected": "\n```\n## </pre> [a](b) ###"}
    with pairs.open("a") as file:
        file.write(json.dumps(hostile) + "\n")
        file.write('{"prompt": "q", "chosen": "same", "rejected": "same"}\n')
    with Loopback(judging(longer)) as server:
        audit(pairs, out=tmp_path / "out", judge="org/judge-1", base_url=server.base_url, seed=7)
    text, page = ((tmp_path / "out" / name).read_text() for name in ("audit.md", "audit.html"))
    facts = dict(re.findall(r"^\| ([^|]+) \| (.*) \|$", text, flags=re.MULTILINE))
    assert facts["file pairs.jsonl"] == f"SHA-256 {sha256(pairs.read_bytes()).hexdigest()}"
    assert (facts["usable pairs"], facts["rows left out"], facts["pairs sampled"], facts["seed"]) == (
        "9",
        "1",
        "9",
        "7",
    )
    assert facts["command"] == "sso-factory audit pairs.jsonl --judge org/judge-1 --out DIR"
    assert facts["template"].startswith("judge, hash ")
    audit(pairs, out=tmp_path / "made-up", judge="j", engine="scripted")
    again = "sso-factory audit pairs.jsonl --judge j --engine scripted --out DIR"
    assert f"| command | {again} |" in (tmp_path / "made-up" / "audit.md").read_text()
    assert facts["versions"].startswith("sso-factory ")
    assert facts["date"] == "2026-01-01"
    for title in ("### Right", "### Unsure", "### Wrong"):
        assert title in text
    assert "Answer, chosen first: chosen:" in text
    assert str(tmp_path) not in text + page
    assert "<script" not in page
    assert '<svg class="dot"' in page
    assert page.count("<h2>") == text.count("\n## ") - 1, "that of the reply stays in its block"


def test_a_judge_that_follows_the_slot_is_said_before_all_numbers(tmp_path: Path) -> None:
    with Loopback(judging(lambda first, second: -1.0)) as server:
        found = audit(pairs_file(tmp_path), out=tmp_path / "out", judge="J", base_url=server.base_url)
    assert isinstance(found, AuditReport)
    assert found.health is not None
    assert (found.health.flips, found.health.flips_to_first) == (16, 0)
    assert show.audit(found).startswith("J follows the slot: 16 of 16 first votes went to the reply shown second (p = ")
    text = (tmp_path / "out/audit.md").read_text()
    assert text.index("J follows the slot") < text.index("16 unsure")
    assert json.loads((tmp_path / "out/audit.json").read_text())["health"]["first_slot"] == 0
