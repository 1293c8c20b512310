"""A server that the run starts itself, once for each policy."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

import factory
from factory.config.apis import OpenaiEngine
from factory.config.engines import RayEngine
from factory.config.load import as_config
from factory.engines import child as child_module
from factory.engines import open_generator
from factory.engines.api import served
from factory.engines.base import Request
from factory.errors import ConfigError, EngineError
from factory.models.ref import ModelRef
from tests.groups import lives
from tests.tiny import tiny_model_folder

ROOT = Path(__file__).parents[4]
SERVER = f"""
import sys, threading
sys.path[0] = {str(ROOT)!r}
from tests.loopback import CRASH, Loopback, Spoken, Wire
def models(seen):
    return None if seen.method == "POST" else Wire() if seen.tries else CRASH
def name(seen):
    return Spoken(f"{{seen.body['model']}} {{seen.number}}")
with Loopback(name, port=int(sys.argv[2]), other=models):
    threading.Event().wait()
"""
SERVE = ["python", "-c", SERVER, "{model}", "{port}"]
REQUEST = Request("r", [{"role": "user", "content": "Who are you?"}], 8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "tiny", context=4096)


def test_it_is_started_by_the_first_request_and_ended_with_the_engine(model: Path) -> None:
    with open_generator(OpenaiEngine(serve=SERVE), ModelRef(str(model))) as engine:
        assert engine.count_tokens([REQUEST.messages])[0] > 0
        assert engine.context_length is None
        assert engine.server is None
        (answer,) = engine.generate([REQUEST])
        assert answer.text is not None
        assert answer.text.startswith(str(model))
        group = engine.server.group
        list(engine.generate([REQUEST]))
        assert engine.server.group == group
        assert lives(group)
    assert not lives(group)


def test_a_proxy_does_not_come_between(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "elsewhere.example")
    with open_generator(OpenaiEngine(serve=SERVE), ModelRef(str(model))) as engine:
        (answer,) = engine.generate([REQUEST])
    assert answer.error is None
    assert os.environ["NO_PROXY"] == "elsewhere.example,127.0.0.1"


def test_what_it_is_called_depends_on_model_and_command_and_not_on_the_port(model: Path) -> None:
    def identity(name: str = "one", word: str = "x", **fields: object) -> str:
        block = as_config({"kind": "openai", "serve": [word, "{model}", "{port}"], **fields}, OpenaiEngine)
        with open_generator(block, ModelRef(name)) as engine:
            return engine.identity

    others = [identity("two"), identity(model="alias"), identity(word="y"), identity(extra_body={"top_k": 3})]
    assert len({identity(), *others}) == 5
    assert identity() == identity()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["no-such-program", "{model}", "{port}"], r"exit code 127\).*no-such-program cannot be started: No such file"),
        (["python", "-c", "raise SystemExit('no room\\nleft')", "{model}", "{port}"], r"exit code 1.*no room \| left"),
    ],
)
def test_a_server_that_does_not_come_up_is_one_sentence(model: Path, command: list[str], said: str) -> None:
    with (
        open_generator(OpenaiEngine(serve=command), ModelRef(str(model))) as engine,
        pytest.raises(EngineError, match=said) as caught,
    ):
        list(engine.generate([REQUEST]))
    assert "\n" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up(model: Path) -> None:
    """It listens, and says why it is slow, but never how its models are called."""
    deaf = "print('loading shard 1 of 9', flush=True); import time; time.sleep(600)"
    block = OpenaiEngine(serve=["python", "-c", deaf, "{model}", "{port}"], patience=0.05)
    with open_generator(block, ModelRef(str(model))) as engine, pytest.raises(EngineError) as caught:
        list(engine.generate([REQUEST]))
    said = "the server did not answer for 0.05 minutes (engine.patience); its last lines: loading shard 1 of 9"
    assert said in str(caught.value)


@pytest.mark.parametrize("answered", [0, 1])
def test_a_server_that_dies_later_is_named_with_its_last_words(
    model: Path, answered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And at once: nothing is waited for, and no address is blamed that nobody gave. A key it prints is blotted out."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marked-0123456789")
    dying = f"""
import os, sys
sys.path[0] = {str(ROOT)!r}
from tests.loopback import Loopback, Wire, echo
def die(seen):
    if seen.method == "GET":
        return Wire()
    if len(server.asked) > {answered}:
        print("out of memory", os.environ["OPENAI_API_KEY"], flush=True)
        os._exit(9)
with Loopback(echo, port=int(sys.argv[2]), other=die) as server:
    import threading; threading.Event().wait()
"""
    block = OpenaiEngine(serve=["python", "-c", dying, "{model}", "{port}"], max_concurrency=1)
    requests = [Request(f"r{n}", REQUEST.messages, 8) for n in range(3)]
    with open_generator(block, ModelRef(str(model))) as engine:
        stream = engine.generate(requests)
        for _ in range(answered):
            assert next(stream).error is None
        with pytest.raises(EngineError) as caught:
            next(stream)
    assert "engine.serve: the server ended (exit code 9) while it was asked; its last lines:" in str(caught.value)
    assert str(caught.value).endswith("out of memory ***")


def test_a_stubborn_one_is_killed_with_what_it_started(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "CLOSE_SECONDS", 0.5)
    deaf = "import signal, subprocess\nsignal.signal(15, signal.SIG_IGN)\nsubprocess.Popen(['sleep', '600'])" + SERVER
    block = OpenaiEngine(serve=["python", "-c", deaf, "{model}", "{port}"])
    with closing(served.ServedGenerator(block, ModelRef(str(model)))) as engine:
        list(engine.generate([REQUEST]))
        assert engine.server is not None
        group = engine.server.group
    assert not lives(group)


def test_it_does_not_outlive_a_run_that_is_killed(model: Path) -> None:
    job = f"""
from factory.config.apis import OpenaiEngine
from factory.engines.api.served import ServedGenerator
from factory.engines.base import Request
from factory.models.ref import ModelRef
engine = ServedGenerator(OpenaiEngine(serve={SERVE!r}), ModelRef({str(model)!r}))
list(engine.generate([Request("r", [{{"role": "user", "content": "Hm?"}}], 8)]))
print(engine.server.group, flush=True)
input()
"""
    with subprocess.Popen([sys.executable, "-c", job], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        group = int(run.stdout.readline())
        assert lives(group)
        run.kill()
    if not gone(group):
        os.killpg(group, signal.SIGKILL)
        pytest.fail("the server is still there")


def test_what_a_crashed_server_started_is_ended_at_once() -> None:
    with child_module.kept(["sh", "-c", "sleep 600 & exit 3"]) as child:
        assert child.exit_code(10) == 3
        assert gone(child.group)


def gone(group: int) -> bool:
    """Whether all of the group have ended, or do within ten seconds."""
    for _ in range(100):
        if not lives(group):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"serve": SERVE, "base_url": "http://x/v1"}, "base_url does not go with"),
        ({"serve": SERVE, "cache_dir": "x"}, "cache_dir does not go with"),
        ({"serve": SERVE, "batch": True}, "batch does not go with"),
        ({"serve": ["vllm", "serve", "{model}"]}, "needs {model} and {port}"),
        ({"serve": []}, "serve"),
    ],
)
def test_keys_that_do_not_go_with_a_server_of_the_run_are_refused(block: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        as_config({"kind": "openai", **block}, OpenaiEngine)


def test_ray_starts_no_servers() -> None:
    with pytest.raises(ConfigError, match="serve starts a server on one machine"):
        as_config({"kind": "ray", "engine": {"kind": "openai", "serve": SERVE}}, RayEngine)


def test_a_run_serves_each_policy_that_it_trains(model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text("".join(f'{{"prompt": "Number {n}?"}}\n' for n in range(8)), "utf-8")
    run = tmp_path / "run"
    config = {
        "run": {"iterations": 2},
        "prompts": str(tmp_path / "prompts.jsonl"),
        "policy": {"model": str(model)},
        "engine": {"kind": "openai", "serve": SERVE},
        "training": {"learning_rate": 0.01, "batch_pairs": 4},
        "filters": [{"use": "duplicate"}],
        "export": {"formats": ["rm"]},
    }
    factory.run(config, run, until="2/triples")
    for iteration, folder in ((1, model), (2, run / "iterations" / "1" / "policy")):
        said = pl.read_parquet(run / "iterations" / str(iteration) / "triples.parquet")["chosen"]
        assert len(said) > 0
        assert said.str.starts_with(f"{folder} ").all()
