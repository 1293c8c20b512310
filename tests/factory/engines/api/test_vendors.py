"""Every vendor's API through the one client: what is sent, what is read, what each failure is called."""

import json
import logging
from typing import Any, NamedTuple, get_args

import polars as pl
import pytest
from click.testing import CliRunner

import factory
from factory.cli import main
from factory.config.apis import AnthropicEngine, ApiBlock, ApiEngine, GeminiEngine, Prices
from factory.engines.api.endpoint import Endpoint
from factory.engines.api.engine import ApiGenerator
from factory.engines.api.spending import priced
from factory.engines.api.wire import DIALECTS
from factory.engines.base import Completion, Request
from factory.errors import EngineError
from factory.models.ref import ModelRef
from tests import loopback
from tests.asking import some
from tests.fake_clock import FakeClock
from tests.loopback import Loopback, Seen, Spoken, Wire
from tests.pairs import pair, table

KEY = "sk-marked-0123456789"
BLOCKS: dict[str, type[ApiEngine]] = {one.model_fields["kind"].default: one for one in get_args(ApiBlock)}
NATIVE = [kind for kind in BLOCKS if kind != "openai"]


class Said(NamedTuple):
    """How a vendor says that something failed."""

    throttled: Wire
    overloaded: Wire
    wrong_key: Wire
    no_credit: Wire
    unknown: Wire
    disliked: Wire
    too_long: Wire
    withheld: dict[str, Any]
    """The body of an answer whose reply was held back."""


def anthropic(status: int, kind: str, message: str, **headers: str) -> Wire:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return Wire(status, json.dumps(body).encode(), headers)


def gemini(code: int, status: str, message: str, *details: dict[str, Any]) -> Wire:
    body = {"error": {"code": code, "message": message, "status": status, "details": list(details)}}
    return Wire(code, json.dumps(body).encode())


SAID = {
    "openai": Said(
        loopback.throttled(7),
        loopback.throttled(),
        loopback.error(401, "Incorrect API key provided"),
        loopback.no_quota(),
        loopback.error(404, "The model m does not exist"),
        loopback.error(400, "this prompt is not liked"),
        loopback.error(400, "too long", code="context_length_exceeded"),
        {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]},
    ),
    "anthropic": Said(
        anthropic(429, "rate_limit_error", "would exceed your rate limit", **{"retry-after": "7"}),
        anthropic(529, "overloaded_error", "Overloaded"),
        anthropic(401, "authentication_error", "invalid x-api-key"),
        anthropic(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API"),
        anthropic(404, "not_found_error", "model: m"),
        anthropic(400, "invalid_request_error", "this prompt is not liked"),
        anthropic(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        {"content": [], "stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "bio"}},
    ),
    "gemini": Said(
        gemini(429, "RESOURCE_EXHAUSTED", "quota", {"@type": "google.rpc.RetryInfo", "retryDelay": "7s"}),
        gemini(503, "UNAVAILABLE", "The model is overloaded"),
        gemini(400, "INVALID_ARGUMENT", "API key not valid", {"reason": "API_KEY_INVALID"}),
        gemini(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted"),
        gemini(404, "NOT_FOUND", "models/m is not found for API version v1beta"),
        gemini(400, "INVALID_ARGUMENT", "this prompt is not liked"),
        gemini(400, "INVALID_ARGUMENT", "The input token count (2000) exceeds the maximum number of tokens allowed"),
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}},
    ),
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for block in BLOCKS.values():
        monkeypatch.delenv(block.home_env, raising=False)
        monkeypatch.setenv(block.model_fields["key_env"].default, KEY)


def ask(server: Loopback, kind: str, requests: list[Request], **options: object) -> list[Completion]:
    """What the engine answers, in the order of landing."""
    engine = ApiGenerator(BLOCKS[kind](base_url=server.base_url, **options), ModelRef("m"), clock=FakeClock())
    try:
        return list(engine.generate(requests))
    finally:
        engine.close()


def test_each_kind_of_api_has_a_dialect_and_is_said_here() -> None:
    assert set(BLOCKS) == set(DIALECTS) == set(SAID)


REQUEST = Request(
    "a",
    [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": "two words"},
    ],
    max_new_tokens=7,
    temperature=0.5,
    top_p=0.9,
    seed=3,
)


def test_anthropic_is_asked_in_its_own_language_and_its_cache_is_counted() -> None:
    with Loopback() as server:
        block = {"prices": Prices(prompt=2.0, completion=10.0), "extra_body": {"thinking": {"type": "disabled"}}}
        found = ask(server, "anthropic", [REQUEST], **block)
    # 6 words sent, one of them from the cache, at 2.0 a million, and 3 received ("echo: two words") at 10.0
    assert found == [Completion("a", "echo: two words", "stop", 6, 3, (6 * 2.0 + 3 * 10.0) / 1e6)]
    (seen,) = server.log
    assert (seen.method, seen.path) == ("POST", "/v1/messages")
    assert (seen.headers["x-api-key"], seen.headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert "authorization" not in seen.headers
    assert seen.body == {
        "model": "m",
        "system": "be kind",
        "messages": REQUEST.messages[1:],
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "thinking": {"type": "disabled"},
    }


def test_gemini_is_asked_in_its_own_language_and_its_thoughts_are_paid_for() -> None:
    with Loopback() as server:
        extra = {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}, "safetySettings": []}
        found = ask(server, "gemini", [REQUEST], prices=Prices(prompt=2.0, completion=10.0), extra_body=extra)
    # 6 words sent, 3 received, and 3 thought, which cost as much as those received
    assert found == [Completion("a", "echo: two words", "stop", 6, 6, (6 * 2.0 + 6 * 10.0) / 1e6)]
    (seen,) = server.log
    assert (seen.method, seen.path) == ("POST", "/v1beta/models/m:generateContent")
    assert seen.headers["x-goog-api-key"] == KEY
    assert "authorization" not in seen.headers
    said = [("user", "hello"), ("model", "yes?"), ("user", "two words")]
    thinking = {"thinkingConfig": {"thinkingBudget": 0}}
    assert seen.body == {
        "systemInstruction": {"parts": [{"text": "be kind"}]},
        "contents": [{"role": role, "parts": [{"text": text}]} for role, text in said],
        "generationConfig": {"temperature": 0.5, "topP": 0.9, "maxOutputTokens": 7, "seed": 3, **thinking},
        "safetySettings": [],
    }


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_row_arrives_once_through_trouble_of_every_kind(kind: str) -> None:
    said = SAID[kind]
    wires = [said.throttled, said.overloaded, loopback.CRASH, loopback.RESET, loopback.EMPTY, loopback.HALF]
    wires += [Wire(body=b"[]"), Wire(body=b'{"usage": {}}'), Wire(body=b'{"error": {"message": "no"}}')]
    with Loopback(faults=loopback.first_try(wires * 4)) as server:
        found = ask(server, kind, some(60))
    assert {done.id: (done.text, done.error) for done in found} == {
        f"r{i:03}": (f"echo: number {i}", None) for i in range(60)
    }
    assert len(found) == 60
    assert len(server.asked) == 60 + 36


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_wait_that_the_server_names_is_waited(kind: str) -> None:
    clock = FakeClock()
    with Loopback(faults=loopback.first_try([SAID[kind].throttled])) as server:
        engine = ApiGenerator(BLOCKS[kind](base_url=server.base_url), ModelRef("m"), clock=clock)
        (found,) = engine.generate(some(1))
        engine.close()
    assert (found.error, clock.time) == (None, 7)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("wrong_key", "http://127.0.0.1:PORT/v1 does not accept the key in VARIABLE ("),
        ("no_credit", "http://127.0.0.1:PORT/v1 says that the account has no credit left ("),
        ("unknown", "http://127.0.0.1:PORT/v1 knows no model m ("),
    ],
)
def test_what_ends_a_run_is_one_sentence(kind: str, what: str, sentence: str) -> None:
    with Loopback(faults=lambda seen: getattr(SAID[kind], what)) as server, pytest.raises(EngineError) as raised:
        ask(server, kind, some(20))
    port, variable = str(server.base_url.rsplit(":", 1)[1].removesuffix("/v1")), BLOCKS[kind]().key_env
    assert str(raised.value).startswith(sentence.replace("PORT", port).replace("VARIABLE", variable))
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("kind", BLOCKS)
def test_what_each_failure_is_taken_for(kind: str) -> None:
    """Overload asks for less, as too many requests do, and counts for no request's own tries."""
    taken = {"throttled": "throttled", "overloaded": "throttled", "disliked": "refused", "too_long": "refused"}
    taken |= dict.fromkeys(("wrong_key", "no_credit", "unknown"), "fatal")
    endpoint = Endpoint(BLOCKS[kind](), ModelRef("m"))
    for what, expected in taken.items():
        wire: Wire = getattr(SAID[kind], what)
        assert endpoint.refusal(wire.status, json.loads(wire.body), wire.headers).kind == expected, what


@pytest.mark.parametrize("kind", BLOCKS)
def test_no_key_and_a_wrong_address_are_said_before_or_by_the_first_request(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = BLOCKS[kind]
    monkeypatch.delenv(block().key_env)
    with pytest.raises(EngineError, match=f"^no key for {block.vendor}: set {block().key_env} in the environment, or"):
        list(ApiGenerator(block(), ModelRef("m")).generate(some(1)))
    clock = FakeClock()
    engine = ApiGenerator(block(base_url="http://127.0.0.1:9/v1"), ModelRef("m"), clock=clock)
    with pytest.raises(EngineError, match=r"^http://127.0.0.1:9/v1 cannot be reached .*check base_url"):
        list(engine.generate(some(3)))
    engine.close()
    assert clock.time < 10  # a wrong address is told soon
    html = Wire(405, b"<html>nginx</html>")
    with (
        Loopback(faults=lambda seen: html) as server,
        pytest.raises(EngineError, match=f"no {block.vendor}-compatible endpoint .*base_url looks like {block.home}"),
    ):
        ask(server, kind, some(1))


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_prompt_that_is_refused_or_withheld_is_its_own_failure_however_many_are(kind: str) -> None:
    said = SAID[kind]
    wires = {0: said.disliked, 1: said.too_long, 2: Wire(body=json.dumps(said.withheld).encode())}
    held = Wire(body=json.dumps(said.withheld).encode())
    with Loopback(faults=lambda seen: wires.get(int(seen.last.split()[1]), held)) as server:
        found = {done.id: done for done in ask(server, kind, some(40), max_concurrency=1)}
    assert len(found) == len(server.asked) == 40
    assert found["r000"].error == "this prompt is not liked"
    assert str(found["r001"].error).startswith("context_length_exceeded: ")
    assert all(str(found[f"r{i:03}"].error).startswith("content_filter: ") for i in range(2, 40))
    assert {done.text for done in found.values()} == {None}


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize(
    ("spoken", "text", "finish"),
    [(Spoken("half a", finish="length"), "half a", "length"), (Spoken(None), "", "stop"), (Spoken(""), "", "stop")],
)
def test_a_cut_reply_and_an_empty_one_are_told_apart(kind: str, spoken: Spoken, text: str, finish: str) -> None:
    with Loopback(answer=lambda seen: spoken) as server:
        (found,) = ask(server, kind, some(1))
    assert (found.text, found.finish, found.error) == (text, finish, None)


@pytest.mark.parametrize("kind", BLOCKS)
def test_money_is_bounded_and_what_has_arrived_is_kept(kind: str) -> None:
    came: list[Completion] = []
    with Loopback() as server:
        block = BLOCKS[kind](base_url=server.base_url, prices=Prices(completion=1e6), max_cost=40.0, max_concurrency=1)
        engine = ApiGenerator(block, ModelRef("m"), clock=FakeClock())
        with pytest.raises(EngineError, match=r"^max_cost is reached: .* of 40 is spent"):
            came.extend(engine.generate(some(50)))
        engine.close()
    assert came
    assert sum(done.cost or 0 for done in came) <= 40 < sum(done.cost or 0 for done in came) + 16
    assert all(done.cost is not None for done in came)


@pytest.mark.parametrize(
    ("block", "model"), [(AnthropicEngine(), "claude-haiku-4-5"), (GeminiEngine(), "gemini-2.5-flash")]
)
def test_known_prices_are_those_at_the_vendors_address(block: ApiEngine, model: str) -> None:
    known = priced(block, model).prices
    assert known is not None
    assert known.completion > known.prompt > 0
    assert priced(block.model_copy(update={"base_url": "http://127.0.0.1:1"}), model).prices is None


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_key_is_in_no_answer_and_no_error(kind: str) -> None:
    says = json.dumps({"error": {"message": f"not {KEY}", "status": KEY, "type": KEY}}).encode()
    with Loopback(answer=lambda seen: Spoken(f"your key is {KEY}")) as server:
        (found,) = ask(server, kind, some(1))
    assert (found.text, found.error) == ("your key is ***", None)
    with Loopback(faults=lambda seen: Wire(401, says)) as server, pytest.raises(EngineError) as raised:
        ask(server, kind, some(1))
    engine = ApiGenerator(BLOCKS[kind](), ModelRef("m"))
    assert KEY not in str(raised.value) + repr(engine) + repr(vars(engine)) + engine.identity


def test_an_environment_names_the_address_as_for_the_vendors_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as server:
        for kind, block in BLOCKS.items():
            monkeypatch.setenv(block.home_env, server.base_url)
            engine = ApiGenerator(block(), ModelRef("m"))
            (found,) = engine.generate(some(1))
            engine.close()
            assert found.text == "echo: number 0", kind


def test_identities_tell_vendors_and_versions_apart() -> None:
    blocks = [block(base_url="http://h") for block in BLOCKS.values()]
    blocks += [AnthropicEngine(base_url="http://h", version="2026-10-21"), GeminiEngine(base_url="http://g")]
    blocks += [GeminiEngine(base_url="http://h", extra_body={"safetySettings": []})]
    assert len({ApiGenerator(block, ModelRef("m")).identity for block in blocks}) == len(blocks)
    assert len({json.dumps(block.fingerprint) for block in blocks}) == len(blocks)


BOTH = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."


@pytest.mark.parametrize(
    ("refused", "left", "told"),
    [
        ({"top_p": BOTH}, {"temperature"}, "replies are sampled without sampling.top_p"),
        (
            {
                "top_p": "top_p: Extra inputs are not permitted",
                "temperature": "`temperature` is deprecated for this model.",
            },
            set(),
            "replies are sampled without sampling.temperature and sampling.top_p",
        ),
    ],
)
def test_sampling_that_a_model_does_not_take_is_left_out_and_said(
    refused: dict[str, str], left: set[str], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(seen: Seen) -> Wire | None:
        found = next((said for name, said in refused.items() if name in seen.body), None)
        return None if found is None else anthropic(400, "invalid_request_error", found)

    with caplog.at_level(logging.WARNING), Loopback(faults=fault) as server:
        found = ask(server, "anthropic", some(30, top_p=0.9))
    assert [done.error for done in found] == [None] * 30
    assert {"temperature", "top_p"} & set(server.log[-1].body) == left
    assert caplog.messages[-1].endswith(told)
    assert len(caplog.messages) == len(refused)


def test_a_temperature_out_of_range_is_the_users_to_mend() -> None:
    wire = anthropic(400, "invalid_request_error", "temperature: Input should be less than or equal to 1")
    with (
        Loopback(faults=lambda seen: wire) as server,
        pytest.raises(EngineError, match=r"refused each of the first 20 requests alike: temperature: .*sampling"),
    ):
        ask(server, "anthropic", some(40, temperature=1.5))


def test_gemini_without_log_probabilities_or_seeds_is_asked_without() -> None:
    def fault(seen: Seen) -> Wire | None:
        config = seen.body["generationConfig"]
        if "responseLogprobs" in config:
            return gemini(400, "INVALID_ARGUMENT", "Logprobs is not enabled for models/m")
        return gemini(400, "INVALID_ARGUMENT", "seed is not supported") if "seed" in config else None

    with Loopback(faults=fault) as server:
        found = ask(server, "gemini", some(12, choices=("m", "M")))
    assert [done.error for done in found] == [None] * 12
    assert not {"seed", "responseLogprobs", "logprobs"} & set(server.log[-1].body["generationConfig"])


PAIRS = table([pair([{"role": "user", "content": f"q {i}"}], f"a long good reply {i}", f"bad {i}") for i in range(6)])


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_judge_of_each_vendor_votes_in_both_orders_by_log_probabilities_or_text(
    kind: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longer reply is the chosen one, and the judge likes length; what is cached is paid once."""
    PAIRS.write_parquet(tmp_path / "pairs.parquet")
    with Loopback(answer=loopback.judging(loopback.longer)) as server:
        engine = {"kind": kind, "cache_dir": str(tmp_path / "cache"), "prices": {"prompt": 1.0, "completion": 1.0}}
        engine |= {"base_url": server.base_url, "max_cost": 1.0}
        told = {"judge": {"name": "claude-x", "engine": engine}}
        found = factory.audit(tmp_path / "pairs.parquet", out=tmp_path / "a", config=told)
        asked = len(server.asked)
        again = factory.audit(tmp_path / "pairs.parquet", out=tmp_path / "b", config=told)
        (tmp_path / "audit.yaml").write_text(json.dumps(told))
        command = ["audit", str(tmp_path / "pairs.parquet"), "--out", str(tmp_path / "c"), "--json", "--dry-run"]
        priced_ = CliRunner().invoke(main, [*command, "--config", str(tmp_path / "audit.yaml")])
    assert (found.right, found.wrong, found.n, found.requests) == (6, 0, 6, 12)
    assert found.cost
    assert (asked, len(server.asked), again.cost) == (12, 12, 0.0)
    assert json.loads(priced_.stdout)["cost"] > 0
    votes = pl.read_parquet(tmp_path / "a/judgments.parquet")
    assert votes["order"].value_counts()["count"].to_list() == [6, 6]
    assert (votes["p_chosen"].null_count() == 0) == (kind != "anthropic")


def test_audit_takes_the_engine_by_name(tmp_path) -> None:
    PAIRS.write_parquet(tmp_path / "pairs.parquet")
    with Loopback(answer=loopback.judging(loopback.longer)) as server:
        command = ["audit", str(tmp_path / "pairs.parquet"), "--judge", "claude-x", "--engine", "anthropic", "--json"]
        found = CliRunner().invoke(main, [*command, "--base-url", server.base_url, "--out", str(tmp_path / "a")])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["right"] == 6
    assert {seen.path for seen in server.log} == {"/v1/messages"}


def test_a_run_with_the_policy_at_one_vendor_and_the_judge_at_another(tmp_path) -> None:
    """A reply tells its number; y+ is asked before y-, and the judge likes low numbers."""

    def earlier(first: str, second: str) -> float:
        numbers = [text.split(":")[0] for text in (first, second)]
        return float(int(numbers[1]) - int(numbers[0])) if all(map(str.isdecimal, numbers)) else 0.0

    def answer(seen: Seen) -> Spoken:
        judged = '{"conversation"' in seen.last
        return loopback.judging(earlier)(seen) if judged else loopback.numbered(seen)

    (tmp_path / "p.txt").write_text("".join(f"Tell me of thing {i}.\n" for i in range(3)))
    with Loopback(answer) as server:
        block = {"base_url": server.base_url, "max_concurrency": 1, "prices": {"prompt": 1.0, "completion": 5.0}}
        config = {
            "run": {"max_cost": 1.0},
            "prompts": {"paths": [str(tmp_path / "p.txt")]},
            "policy": {"model": "claude-x"},
            "engine": {"kind": "anthropic", **block},
            "training": {"method": "none"},
            "filters": [{"use": "judge_agrees"}],
            "judges": [{"name": "gemini-x", "engine": {"kind": "gemini", **block}}],
            "export": {"formats": ["rm"], "license": "apache-2.0"},
        }
        config["run"]["iterations"] = 1
        run = factory.run(config, tmp_path / "r")
    assert pl.read_parquet(run.root / "filtered/kept.parquet").height == 3
    paths = {seen.path.split(":")[0] for seen in server.asked}
    assert paths == {"/v1/messages", "/v1beta/models/gemini-x"}
    bill = json.loads(CliRunner().invoke(main, ["status", str(run.root), "--json"]).stdout)
    assert sum(row["cost"] for row in bill["bill"]["rows"]) > 0
    written = b"".join(path.read_bytes() for path in run.root.rglob("*") if path.is_file())
    assert b"anthropic" in written
    assert KEY.encode() not in written
