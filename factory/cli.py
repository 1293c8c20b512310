"""The command line: parses, calls one function, prints. No logic."""

import signal
import sys
from pathlib import Path
from typing import Any

import click

import factory
from factory import terminal
from factory.terminal import for_stream
from factory.terminal.options import Main, ReadsPairs, Shown, whole_numbers
from factory.terminal.options_shared import CARD, DRY_RUN, HUB, MIXED, OUT, PAIRS, RUN, SEED, SETS, TRAINING


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(factory.__version__, prog_name="sso-factory")
def main() -> None:
    """Make, filter, audit and export preference data by Self-Steering Optimization."""
    # As Ctrl-C: by default Python ends at once, and no journal, lock or child process would be seen to.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--preset", default="quickstart", show_default=True, help="quickstart, paper or api.")
def init(directory: Path, preset: str) -> Shown:
    """Write a starting configuration and prompts into DIRECTORY."""
    return factory.init(directory, preset), lambda made: terminal.show.begun(made, preset)


@main.command()
@RUN
@click.option("--until", metavar="STAGE", help="Stop after a stage (prompts, features, 2/triples, filter, exports …).")
@click.option("--preview", type=click.IntRange(min=1), metavar="N", help="Make N prompts first; the run reuses them.")
@click.option(
    "--no-check", "check", is_flag=True, flag_value=False, default=True, help="Ask no API model a tiny question first."
)
@DRY_RUN
def run(config: Path, run_dir: Path | None, sets: tuple[str, ...], dry_run: bool, **options: Any) -> Shown:
    """Carry out CONFIG: generate, train, filter, export. The same command resumes a stopped run."""
    settings = factory.load_config(config, sets)
    progress = for_stream(sys.stderr)
    if dry_run:
        return factory.plan(settings, run_dir, until=options["until"]), terminal.show.plan
    made = factory.run(settings, run_dir, progress=progress, **options)
    return made, lambda found: terminal.show.outcome(found, options["preview"] or 3)


@main.command()
@RUN
def check(config: Path, run_dir: Path | None, sets: tuple[str, ...]) -> Shown:
    """Look at what a run of CONFIG needs: each API model is asked one tiny question."""
    settings = factory.load_config(config, sets)
    return factory.check(settings, run_dir, progress=for_stream(sys.stderr)), terminal.show.check


@main.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
def status(run_dir: Path) -> Shown:
    """Show which stages of RUN_DIR are done, and how far the others are."""
    found = {"stages": factory.status(run_dir), "bill": factory.bill(run_dir)}
    return found, lambda found: terminal.show.status(found["stages"], found["bill"])


@main.command(name="filter", cls=ReadsPairs)
@PAIRS
@OUT
@click.option("--config", type=click.Path(path_type=Path), help="FILTERS.yaml; without it the paper preset.")
@click.option("--judgments", type=click.Path(path_type=Path), help="Votes recorded earlier, as judgments.parquet.")
@DRY_RUN
def filter_(pairs: tuple[str, ...], out: Path, **options: Any) -> Shown:
    """Filter PAIRS (files, folders, runs, Hub ids) into kept and rejected."""
    funnel = factory.filter(pairs, out, progress=for_stream(sys.stderr), **options)
    return funnel, lambda found: terminal.show.funnel(found, None if options["dry_run"] else out)


@main.command(cls=ReadsPairs)
@PAIRS
@click.option("--rows", default=3, show_default=True, type=click.IntRange(min=0), help="Show this many pairs.")
@click.option("--prompts", is_flag=True, help="Read them as prompts of a run, as files without replies are anyway.")
def look(pairs: tuple[str, ...], rows: int, prompts: bool, **options: Any) -> Shown:
    """Show how PAIRS are read: layout, what each column is, what is left out, and the first pairs; prompts likewise."""
    return factory.look(pairs, rows, prompts=prompts, **options), terminal.show.look


@main.command(cls=ReadsPairs)
@PAIRS
@OUT
@click.option("--judge", help="Model that judges; gpt-4o, unless the config names one.")
@click.option("--engine", metavar="KIND", help="What runs the judge, such as anthropic, gemini, or openai (default).")
@click.option("--base-url", help="Server that is asked; otherwise OPENAI_BASE_URL, or OpenAI itself.")
@click.option("--sample", type=click.IntRange(min=1), help="Judge this many, stratified by iteration and feature.")
@click.option("--config", type=click.Path(path_type=Path), help="YAML of an audit block: judge (with prices), sample.")
@click.option("--certify", type=float, metavar="SHARE", help="Ask until it is certain whether so many are right.")
@click.option("--gold", metavar="COLUMN|FILE", help="People's labels of some pairs: chosen, rejected or tie, or 1/2.")
@click.option("--allow-self", is_flag=True, help="Allow a judge that generated or filtered the pairs.")
@DRY_RUN
def audit(pairs: tuple[str, ...], out: Path, dry_run: bool, **options: Any) -> Shown:
    """Measure PAIRS with a judge asked in both orders: agreement, or with --gold accuracy."""
    result = factory.audit(pairs, out=out, dry_run=dry_run, progress=for_stream(sys.stderr), **options)
    return result, lambda found: terminal.show.audit(found, None if dry_run else out / "audit.html")


@main.command(cls=ReadsPairs)
@PAIRS
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Parquet file of labels, for audit --gold.")
@click.option(
    "--as", "name", default="reviewer", show_default=True, help="Who reviews; each person's answers are kept."
)
@click.option("--sample", type=click.IntRange(min=1), help="Review this many, drawn at random.")
@click.option("--blind", is_flag=True, help="Never tell which reply is called chosen, nor what judges said.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on this machine; any free one if left out."
)
def review(pairs: tuple[str, ...], out: Path, **options: Any) -> Shown:
    """Label PAIRS on a page on this machine, one at a time, by keyboard."""
    browser = bool(sys.stderr and sys.stderr.isatty())  # where the person sits: stdout is the result's
    made = factory.review(pairs, out, browser=browser, progress=for_stream(sys.stderr), **options)
    return made, terminal.show.reviewed


@main.command(cls=ReadsPairs)
@PAIRS
@click.option(
    "--format", "fmt", required=True, help="rm, dpo, sso, llamafactory, axolotl, verl, kto, tpo, sdft, pairs."
)
@click.option("--out", help="Folder, or s3:// and other URLs.")
@MIXED
@click.option("--test-share", type=float, help="Share of prompts in the test split; 0.05 if left out.")
@CARD
@HUB
@click.option("--all-pairs", is_flag=True, help="Keep every pair of a prompt, also in dpo.")
@click.option("--keep-system", is_flag=True, help="Keep a prompt's system message as a message in rm too.")
def export(pairs: tuple[str, ...], fmt: str, out: str | None, **options: Any) -> Shown:
    """Write PAIRS in the FORMAT that a trainer reads."""
    return factory.export(pairs, fmt, out, progress=for_stream(sys.stderr), **options), terminal.show.paths


@main.command(name="check-data")
@click.argument("files", nargs=-1, required=True)
@click.option("--format", "fmt", default="rm", show_default=True, help="The format whose rules are to be kept.")
@click.option("--keep-system", is_flag=True, help="Allow a leading system message in rm.")
@click.option("--tokenizer", metavar="MODEL", help="Say what trainers drop, cut or make identical, by its tokens …")
@click.option("--max-length", type=click.IntRange(min=1), metavar="N", help="… at this length.")
def check_data(files: tuple[str, ...], fmt: str, **options: Any) -> Shown:
    """Hold FILES, whoever wrote them, against the rules of a format; nothing is written."""
    return factory.check_data(files, fmt, **options), terminal.show.checked_data


@main.command()
@click.argument("prompts")
@click.option("--policy", required=True, help="Model that answers: Hub id, folder, bundled:… or an API's name.")
@click.option("--format", "fmt", required=True, help="alpaca_eval or mt_bench.")
@OUT
@click.option("--name", help="What the tool calls the policy; the last part of its name if left out.")
@click.option("--engine", metavar="KIND", help="transformers (default), vllm, openai, ray or scripted.")
@click.option("--base-url", help="OpenAI-compatible server that answers; OPENAI_BASE_URL with --engine openai.")
@SETS
@click.option("--columns", metavar="ROLE=COLUMN,…", help="Columns by role: prompt=query,system=rules, …")
@SEED
def answers(prompts: str, fmt: str, out: Path, policy: str, **options: Any) -> Shown:
    """Let a policy answer PROMPTS (a tool's questions, any prompts, a run); --set takes engine. and sampling. keys."""
    done = factory.answers(prompts, fmt, out, policy=policy, progress=for_stream(sys.stderr), **options)
    return done, terminal.show.paths


@main.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="HTML file; RUN_DIR/report.html if left out.")
@click.option("--against", type=click.Path(path_type=Path), metavar="RUN_DIR2", help="Set this run beside it.")
@click.option("--title", help="What heads the page; the name of the folder if left out.")
def report(run_dir: Path, out: Path | None, against: Path | None, title: str | None) -> Shown:
    """Write the report of RUN_DIR as one HTML file, alone or against a second run."""
    if against is not None:
        return factory.compare(run_dir, against, out, title=title), terminal.comparison.compared
    return factory.report(run_dir, out, title=title), str


@main.command(cls=ReadsPairs)
@PAIRS
@click.option("--policy", required=True, help="Model to train: Hub id, folder or bundled:smollm2-135m-instruct.")
@TRAINING
def train(pairs: tuple[str, ...], policy: str, out: Path, sets: tuple[str, ...], **options: Any) -> Shown:
    """Train POLICY on PAIRS; --set takes keys of the training block. Also under accelerate launch."""
    done = factory.train(pairs, policy, out, sets=sets, progress=for_stream(sys.stderr), **options)
    return done, terminal.show_training.training


@main.command()
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Print the whole reference as Markdown.")
def explain(name: str | None, every: bool) -> Shown:
    """Say what NAME is: a configuration key, filter, option, reason, column, format, layout or exit code."""
    if every == bool(name):
        raise click.UsageError("give a NAME, such as gamma or not_judged, or --all")
    if name is None:
        from factory.commands.explain import page, reference

        return reference(), lambda known: page(known).rstrip("\n")
    return factory.explain(name), terminal.show.explained


@main.command()
@click.argument("run_or_export", type=click.Path(path_type=Path))
@click.argument("pair_id")
def trace(run_or_export: Path, pair_id: str) -> Shown:
    """Tell all that RUN_OR_EXPORT holds of the pair PAIR_ID: prompt, policies, principles, votes, measures."""
    return factory.trace(run_or_export, pair_id), terminal.show.trace


@main.command()
@click.argument("card", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the new run; NAME-reproduced if left out.")
@SETS
@DRY_RUN
def reproduce(card: Path, out: Path | None, sets: tuple[str, ...], dry_run: bool) -> Shown:
    """Run again what CARD (README.md of an export, or its folder) records; exit code 1 if other pairs come."""
    made = factory.reproduce(card, out, sets=sets, dry_run=dry_run, progress=for_stream(sys.stderr))
    return made, terminal.show.plan if dry_run else terminal.show.reproduction


@main.group()
def reward() -> None:
    """Train reward models on pairs, and measure them."""


@reward.command(name="train", cls=ReadsPairs)
@PAIRS
@click.option(
    "--model", "--policy", "model", required=True, help="Language model it begins with: Hub id, folder or bundled:…."
)
@TRAINING
@click.option("--seeds", callback=whole_numbers, metavar="N,N,…", help="A model of each, in OUT/seed-N.")
def reward_train(pairs: tuple[str, ...], model: str, out: Path, sets: tuple[str, ...], **options: Any) -> Shown:
    """Train a reward model on PAIRS, any files or an exported folder; --set takes keys such as epochs or lora.r."""
    done = factory.reward_train(pairs, model, out, sets=sets, progress=for_stream(sys.stderr), **options)
    return done, terminal.show_training.training


@reward.command(name="score", cls=ReadsPairs)
@PAIRS
@click.option(
    "--model", required=True, multiple=True, help="Reward model: folder or Hub id. Several are scored as one ensemble."
)
@OUT
@click.option(
    "--benchmark",
    default="auto",
    show_default=True,
    help="rewardbench, rewardbench2, rmbench, judgebench, best_of_n (own files) or pairs; auto looks at the columns.",
)
@click.option("--group", metavar="COLUMN", help="Count pairs apart by this column.")
@SETS
def reward_score(
    pairs: tuple[str, ...], model: tuple[str, ...], out: Path, sets: tuple[str, ...], **options: Any
) -> Shown:
    """Score PAIRS with a reward model: a benchmark's own files, or any pairs."""
    done = factory.reward_score(pairs, model, out, sets=sets, progress=for_stream(sys.stderr), **options)
    return done.result, terminal.show_training.reward


if __name__ == "__main__":
    main()
