"""`answers`: a policy's answers to prompts, in the files of an evaluation tool."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from factory.config import Answering, Sampling
from factory.config.engines import EngineBlock
from factory.config.load import override
from factory.engines.api.accounts import Spending
from factory.errors import ConfigError, EngineError
from factory.exports.eval_files import asked, evaluation
from factory.exports.facts.public import public_name
from factory.files import PathLike
from factory.identity import DEFAULT_SEED
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.readers import PairsLike, fetched_once, fingerprint, how_to_read
from factory.readers.inputs.on_disk import places
from factory.readers.prompts import RUN_TABLE
from factory.stages.answers import Answer, answer
from factory.stages.pool import EnginePool
from factory.store import Workspace, open_run, write_text
from factory.store.ownership import require_apart

QUESTIONS = "question.jsonl"


@fetched_once()
def answers(
    prompts: PairsLike,
    format: str,
    out: PathLike,
    *,
    policy: str,
    name: str | None = None,
    engine: EngineBlock | Mapping[str, Any] | str | None = None,
    base_url: str | None = None,
    sampling: Sampling | Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    columns: Mapping[str, str] | str | None = None,
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
) -> list[Path]:
    """Let `policy` answer prompts and write its answers for `alpaca_eval` or `mt_bench`; returns what was written.

    `prompts` is the tool's own file of questions, or anything that holds prompts, also a run folder; MT-Bench is then
    given its file of questions as well. `engine` is a kind or a block, transformers if left out, or openai where
    `base_url` names a server; `sets` are KEY=VALUE overrides of `engine` and `sampling`. `name` is what the tool calls
    the policy, by default the last part of its own name. Questions that could not be answered are left out and counted;
    EngineError when none could. The same call goes on where a killed one stopped.
    """
    shown = progress or Silent()
    kind = evaluation(format)
    settings = _settings(engine, base_url, sampling, sets)
    called = name or re.sub(r"[^\w.-]+", "-", public_name(policy).rstrip("/").rsplit("/", 1)[-1])
    # Part of a file's name: it must neither lead elsewhere nor be hidden.
    if not re.fullmatch(r"\w[\w.-]*", called):
        raise ConfigError(f"{called!r} cannot be a file's name; give the policy another name")
    require_apart(Path(out), [*places(prompts, table=RUN_TABLE), policy])
    roles = how_to_read({"columns": columns}).columns
    found = asked(prompts, format, roles)
    for line in found.reading.lines():
        shown.say(line)
    model = ModelRef.by_content(policy)
    # Questions read from the tool's own file are at hand for it; of any other prompts it needs a file of them.
    files = [kind.place(called), *([QUESTIONS] if kind.questions and not found.own else [])]

    # All that is above is looked at before the folder is made: what is refused leaves none behind.
    def build(work: Workspace) -> dict[str, Any]:
        with EnginePool(shown, Spending(Path(out))) as engines:
            generator = engines.generator(settings.engine, model, work.journal, f"answers of {called}")
            good = _answered(answer(found.questions, generator, settings.sampling, seed), policy, shown)
        write_text(work.path / files[0], kind.answers(good, called))
        if kind.questions and QUESTIONS in files:
            write_text(work.path / QUESTIONS, kind.questions(found.questions))
        return {"rows": len(good), "rejected": len(found.questions) - len(good)}

    inputs = {
        "questions": fingerprint(prompts, table=RUN_TABLE),
        "format": format,
        "policy": model.identity,
        "name": called,
        "engine": settings.engine.fingerprint,
        "sampling": settings.sampling.model_dump(mode="json"),
        "seed": seed,
        # Only where there are some: folders from before this option have no such input, and stay valid.
        **({"columns": dict(roles)} if roles else {}),
    }
    with open_run(Path(out), shown) as folder:
        return [Path(out) / path for path in folder.stage("answers", inputs, build, files).outputs]


def _answered(given: Sequence[Answer], policy: str, progress: Progress) -> list[Answer]:
    """Those without an error. Raises EngineError where there is none."""
    good = [one for one in given if one.error is None]
    if not good:
        raise EngineError(f"{policy} answered none of {len(given)} questions: {given[0].error}")
    if len(good) < len(given):
        progress.say(f"{len(given) - len(good)} questions could not be answered and are left out")
    return good


def _settings(
    engine: EngineBlock | Mapping[str, Any] | str | None,
    base_url: str | None,
    sampling: Sampling | Mapping[str, Any] | None,
    sets: Sequence[str],
) -> Answering:
    """What the policy is asked with; fields are taken as they are, since a block writes no name and password out."""
    # A server that is named is asked as an OpenAI-compatible one, unless the block says another kind.
    block = {"kind": engine} if isinstance(engine, str) else dict(engine or {})
    if base_url is not None:
        block = {"kind": "openai", **block, "base_url": base_url}
    block = {"kind": "transformers", **block}
    settings = override({"engine": block, "sampling": dict(sampling or {})}, sets, Answering, "answers")
    if settings.sampling.samples_per_view > 1:
        raise ConfigError("answers: these tools compare one answer to a question; leave sampling.samples_per_view out")
    return settings
