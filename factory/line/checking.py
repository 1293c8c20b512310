"""Before money is spent: one tiny request to each model behind a server, and whatever else would fail at the end."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from factory.config import Config
from factory.config.apis import ApiEngine
from factory.config.load import as_config
from factory.config.training import LOSSES
from factory.engines import require_engine
from factory.engines.api.accounts import FILE as SPENDING
from factory.engines.base import Completion, Request
from factory.errors import EngineError, number
from factory.exports.destinations.hub import check_token
from factory.files import PathLike
from factory.identity import digest
from factory.line.preflight import preflight
from factory.progress import Progress, Silent
from factory.stages.asked_models import RemoteModel, asked_models, remote_models
from factory.stages.judge import Question, requests
from factory.stages.pool import EnginePool, scorer_block
from factory.stages.verdict import read_verdict
from factory.store import RunFolder, write_text
from factory.store.outputs import scratch_of

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


def check(
    config: Config | Mapping[str, Any] | PathLike,
    run_dir: PathLike | None = None,
    *,
    progress: Progress | None = None,
) -> list[CheckResult]:
    """Look at all that a run of `config` needs: each API model is asked one tiny question, nothing else is sent.

    Keys, model names, prices, whether judges can be read, whether engine and method fit, exports, the Hub's token, and
    the disk. Raises the error that the run would end with, as one sentence.
    """
    settings = as_config(config, Config)
    preflight(settings)
    require_parts(settings)
    root = Path(run_dir or settings.run.dir)
    # No spending file: a check by itself has no run folder to keep it in, and asks next to nothing.
    with EnginePool(progress or Silent()) as engines:
        return [*checked(_models(settings), engines), _disk(root), *_hub(settings)]


def check_once(config: Config, engines: EnginePool, folder: RunFolder) -> None:
    """`check` at the start of a run, said where something is amiss; not again for what was found well."""
    # Not once it has begun: it may go on elsewhere, where what the stages that are done needed is not installed.
    if not (folder.root / scratch_of("prompts").manifest).is_file():
        require_parts(config)
    models = due(config, folder.root)
    if not models:
        return
    for name in (SPENDING, FILE):
        folder.record.require_free([name], name)
        folder.record.claim([name], name)
    for found in [*checked(models, engines), _disk(folder.root), *_hub(config)]:
        # Said, not raised: what a run cannot do has raised already.
        if not found.well:
            folder.progress.say(f"check: {found.what}: {found.said}")
    # Last: a check that ended in an error is made again, and the models that answered are asked once more with it.
    write_text(folder.root / FILE, _mark(models))


def require_parts(config: Config) -> None:
    """Raise for an engine that cannot start, or another package's base loss that is none, before it is come to."""
    scorer = scorer_block(config.engine, config.training.method != "none")
    for block in [*(one.block for one in asked_models(config)), *([scorer] if scorer else [])]:
        require_engine(block)
    if config.training.loss not in LOSSES.own:
        LOSSES.load(config.training.loss)


def due(config: Config, root: Path) -> list[RemoteModel]:
    """The models that a run in the folder `root` asks before all else: none, where the same ones answered before."""
    mark, models = root / FILE, _models(config)
    return [] if mark.is_file() and mark.read_text(encoding="utf-8", errors="replace") == _mark(models) else models


def _mark(models: Iterable[RemoteModel]) -> str:
    """What is written down once the models of a run have answered."""
    return digest([[model.block.fingerprint, model.asked.ref.name] for model in models])


def checked(models: Iterable[RemoteModel], engines: EnginePool) -> Iterator[CheckResult]:
    """Ask each of them one tiny question. Raises EngineError, with its words, where it does not answer."""
    for model in models:
        answer = _ask(model, engines)
        what = f"{model.asked.key}: {model.name}"
        if model.asked.judge is not None and read_verdict(answer).identifier is None:
            yield CheckResult(
                what, f"answers, but no verdict can be read from {(answer.text or '')[:60]!r}", well=False
            )
        else:
            yield CheckResult(what, "answers" if model.asked.judge is None else "answers with a verdict")
        yield _price(what, model.block)


def _models(config: Config) -> list[RemoteModel]:
    """Each model behind a server that runs without us, once for what it is asked to do."""
    return [model for model in remote_models(config) if not model.block.starts_server]


def _ask(model: RemoteModel, engines: EnginePool) -> Completion:
    """The answer to a tiny question, asked live, not from a cache, and with little patience."""
    answer: Completion
    (answer,) = engines.get(model.block.live, model.asked.ref, model.asked.account).generate([question(model)])
    if answer.error:
        raise EngineError(f"{model.asked.key}: {model.name} does not answer ({answer.error})")
    return answer


def question(model: RemoteModel) -> Request:
    """What the check asks a model: a judge, about a pair."""
    if model.asked.judge is None:
        return _TINY
    return requests(model.asked.judge, [Question("check", "chosen_first")], {"check": _PAIR}, seed=0)[0]


def _disk(root: Path) -> CheckResult:
    # The run folder may not be there yet; its disk is that of the nearest folder which is.
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


def _price(what: str, block: ApiEngine) -> CheckResult:
    if block.prices is None:
        return CheckResult(what, "its price is not known: money is not counted; give prices", well=False)
    return CheckResult(
        what, f"{number(block.prices.prompt)} a million prompt tokens, {number(block.prices.completion)} completion"
    )
