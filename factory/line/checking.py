"""Before money is spent: one tiny request to each model behind a server, and whatever else would fail at the end."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from factory.config import Config, Judge
from factory.config.engines import EngineBlock, OpenaiEngine
from factory.config.load import settled
from factory.engines.api.accounts import ENGINE
from factory.engines.api.accounts import FILE as SPENDING
from factory.engines.api.prices import priced
from factory.engines.base import Completion, Request
from factory.errors import EngineError
from factory.exports.hub import check_token
from factory.identity import digest
from factory.line.panel import EnginePool, account_of, judge_block, judge_model
from factory.line.preflight import preflight
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.stages.judge import Question, requests
from factory.stages.verdict import read_verdict
from factory.store import RunFolder, write_text

FILE = ".checked"
"""Names, in a run folder, what was checked there: the same command asks nothing twice."""
_LITTLE = 2**30
"""Bytes of free disk below which a run is warned."""
_PAIR = {
    "pair_id": "check",
    "prompt": [{"role": "user", "content": "What is the capital of France?"}],
    "chosen": "The capital of France is Paris.",
    "rejected": "No idea.",
}
_TINY = Request("check", [{"role": "user", "content": "Say yes."}], max_new_tokens=16)


class CheckResult(NamedTuple):
    """What was looked at, and what came of it."""

    what: str
    said: str
    well: bool = True
    """False for what a run can do and its user should know. What it cannot do is an error."""


class _Model(NamedTuple):
    """A model to ask."""

    key: str
    block: OpenaiEngine
    ref: ModelRef
    account: str
    judge: Judge | None = None


def check(
    config: Config | Mapping[str, Any] | str | Path,
    run_dir: str | Path | None = None,
    *,
    progress: Progress | None = None,
) -> list[CheckResult]:
    """Look at all that a run of `config` needs: each API model is asked one tiny question, nothing else is sent.

    Keys, model names, prices, whether judges can be read, whether engine and method fit, exports, the Hub's token, and
    the disk. Raises the error that the run would end with, as one sentence.
    """
    settings = settled(config, Config)
    preflight(settings)
    root = Path(run_dir or settings.run.dir)
    with EnginePool(progress or Silent()) as room:
        return [*checked(settings, room), _disk(root), *_hub(settings)]


def check_once(config: Config, room: EnginePool, folder: RunFolder) -> None:
    """`check` at the start of a run, said where something is amiss; not again for what was found well."""
    asked = digest([[model.block.fingerprint, model.ref.name] for model in _models(config)])
    mark = folder.root / FILE
    if not _models(config) or (mark.is_file() and mark.read_text(encoding="utf-8") == asked):
        return
    for name in (SPENDING, FILE):
        folder.record.require_free([name], name)
        folder.record.claim([name], name)
    for found in [*checked(config, room), _disk(folder.root), *_hub(config)]:
        if not found.well:
            folder.progress.say(f"check: {found.what}: {found.said}")
    write_text(mark, asked)


def checked(config: Config, room: EnginePool) -> Iterator[CheckResult]:
    """Ask each API model of the run one tiny question. Raises EngineError, with its words, where it does not answer."""
    for model in _models(config):
        answer = _ask(model, room)
        what = f"{model.key}: {model.block.model or model.ref.name}"
        if model.judge is not None and read_verdict(answer).identifier is None:
            yield CheckResult(
                what, f"answers, but no verdict can be read from {(answer.text or '')[:60]!r}", well=False
            )
        else:
            yield CheckResult(what, "answers" if model.judge is None else "answers with a verdict")
        yield _price(what, model.block)


def _models(config: Config) -> list[_Model]:
    """Each model behind a server that runs without us, once for what it is asked to do."""
    fold = config.policy.system_role == "fold"
    found: list[tuple[str, EngineBlock, ModelRef, str, Judge | None]] = [
        ("policy", config.engine, ModelRef(config.policy.model, fold_system=fold), ENGINE, None)
    ]
    judges = [(f"judges.{number}", "judge", judge) for number, judge in enumerate(config.judges)]
    judges += [("audit.judge", "audit", config.audit.judge)] if config.audit.judge else []
    for key, role, judge in judges:
        block = judge_block(judge, config.engine)
        found.append((key, block, ModelRef(judge_model(judge)), account_of(judge, config.engine, role), judge))
    return [
        _Model(key, priced(block, ref.name), ref, account, judge)
        for key, block, ref, account, judge in found
        if isinstance(block, OpenaiEngine) and block.serve is None
    ]


def _ask(model: _Model, room: EnginePool) -> Completion:
    """The answer to a tiny question, asked live, not from a cache, and with little patience."""
    block = model.block.model_copy(update={"batch": False, "cache_dir": None, "max_retries": 1})
    request = _TINY
    if model.judge is not None:
        (request,) = requests(model.judge, [Question("check", "chosen_first")], {"check": _PAIR}, seed=0)
    (answer,) = room.hold(block, model.ref, model.account).generate([request])
    if answer.error:
        raise EngineError(f"{model.key}: {block.model or model.ref.name} does not answer ({answer.error})")
    return answer  # type: ignore[no-any-return]


def _disk(root: Path) -> CheckResult:
    there = next(folder for folder in (root, *root.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    said = f"{free / _LITTLE:.1f} GiB are free"
    return CheckResult(
        f"disk: {there}", said if free >= _LITTLE else f"only {said}; a run may need more", free >= _LITTLE
    )


def _hub(config: Config) -> Iterator[CheckResult]:
    repo = config.export.push_to_hub
    if repo is not None:
        doubt = check_token(repo)
        yield CheckResult(f"Hub: {repo}", doubt or "the token is accepted", well=doubt is None)


def _price(what: str, block: OpenaiEngine) -> CheckResult:
    if block.prices is None:
        return CheckResult(what, "its price is not known: money is not counted; give prices", well=False)
    return CheckResult(what, f"{block.prices.prompt:g} a million prompt tokens, {block.prices.completion:g} completion")
