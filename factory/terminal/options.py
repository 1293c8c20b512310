"""What the commands of the command line have in common: results as text or JSON, failures as one sentence."""

import atexit
import gc
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import TextIOWrapper
from typing import Any

import click

from factory import terminal
from factory.errors import ConfigError, FactoryError, InterruptedRunError, NotReproducedError, harmless, one_line
from factory.registry import fault_of_a_part
from factory.training import processes

_WHOLE = "whole"
_MOST, _END, _CUT = 300, 120, " … (-v: all of it) … "


def _shortened(sentence: str) -> str:
    """A long sentence without its middle: its beginning says where, its end what to do."""
    if len(sentence) <= _MOST:
        return sentence
    return sentence[: _MOST - _END - len(_CUT)].rstrip() + _CUT + sentence[-_END:].lstrip()


class Command(click.Command):
    """Prints what its function returns: the result, as text by the function beside it, or with --json as it is."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params.append(click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON."))
        self.params.append(click.Option(["-v", "--verbose"], is_flag=True, help="Print long errors whole."))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, which of an option given twice takes the last without a word: that is refused here."""
        given = self.make_parser(ctx).parse_args(list(args))[2]
        for option in given:
            if isinstance(option, click.Option) and not (option.multiple or option.is_flag) and given.count(option) > 1:
                raise ConfigError(f"{option.opts[0]} takes one value and is given twice; run the command once for each")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> None:
        """Call the function and print what it returns."""
        # Taken out, as the functions of commands know neither.
        as_json = ctx.params.pop("as_json")
        ctx.find_root().meta[_WHOLE] = ctx.params.pop("verbose")
        # What a library prints while it works, as trackers do, is no part of the result, which alone goes to stdout.
        with redirect_stdout(sys.stderr):
            found, shown = super().invoke(ctx)
        # Under accelerate launch every process comes here with the same result.
        if processes.rank() == 0:
            # Text is for a terminal, whatever names are in it; JSON is for programs, and is what was found.
            _print(terminal.show.as_json(found) if as_json else harmless(shown(found)))
        if isinstance(difference := getattr(found, "difference", None), str):
            raise NotReproducedError(difference)


def _print(result: str) -> None:
    """To stdout. Whoever reads it may have enough before its end, as `head` has: nothing is wrong then."""
    try:
        click.echo(result)
    except BrokenPipeError:
        terminal.unheard(sys.stdout)


class ReadsPairs(Command):
    """A command with the options that say how pairs are read."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # After the command's own, so that a help text lists last what many commands share.
        named = "Columns by role: prompt=query,chosen=good, …"
        self.params += [
            click.Option(["--columns"], metavar="ROLE=COLUMN,…", help=named),
            click.Option(["--layout"], metavar="NAME", help="Read by this layout, one of those in docs/formats.md."),
            click.Option(["--pairs", "pairing"], help="Of several candidates: best_worst (default), adjacent or all."),
            click.Option(["--skip-unreadable"], is_flag=True, help="Leave out files that cannot be read, and say so."),
        ]


def whole_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Those of a text with commas between them."""
    try:
        return tuple(int(one) for one in value.split(",")) if value is not None else ()
    except ValueError:
        raise ConfigError(f"--{param.name}: {value!r} is no list of whole numbers, as in 1,2,3") from None


class Group(click.Group):
    """Commands of which each prints its result."""

    command_class = Command


class Main(Group):
    """Turns every expected failure into one sentence and the right exit code."""

    group_class = Group

    def main(self, *args: Any, **options: Any) -> Any:
        """Run, and end every process of its group."""
        # A process that ends gives everything back at once; looking for cycles in it first takes longer than --help.
        atexit.register(gc.freeze)
        # An encoding without dashes or someone's script, as latin-1, is no reason to end in a traceback.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **options)
        except SystemExit as end:
            if processes.world() > 1:
                processes.leave(end.code)
            raise
        except OSError as error:  # a help text that cannot be written: click prints it before `invoke`
            raise SystemExit(_failed(1, _of_disk(error))) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an expected failure is one sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except FactoryError as error:
            code, sentence = error.exit_code, str(error)
        # Ctrl-C, and SIGTERM, which the command line turns into it: what has arrived is on disk either way.
        except KeyboardInterrupt:
            code, sentence = InterruptedRunError.exit_code, "stopped; the same command goes on from here"
        except OSError as error:
            code, sentence = 1, _of_disk(error)
        except _table_errors() as error:
            code, sentence = 1, f"a table cannot be read or written: {str(error).splitlines()[0]}; check the file"
        except (click.exceptions.Exit, click.ClickException):  # a help text, a wrong option: click's own
            raise
        except (Exception, SystemExit) as error:
            # Others are ours, and a traceback says where.
            if (fault := fault_of_a_part(error)) is None:
                raise
            code, sentence = 1, fault
        raise SystemExit(_failed(code, sentence, whole=ctx.meta.get(_WHOLE, False)))


def _failed(code: int, sentence: str, *, whole: bool = False) -> int:
    """Say what went wrong, long or shortened; returns the exit code."""
    if processes.first_to_fail():
        sentence = f"sso-factory: {one_line(sentence)}"
        click.echo(sentence if whole else _shortened(sentence), err=True)
    return code


def _of_disk(error: OSError) -> str:
    return f"{error.filename or 'the disk'}: {error.strerror or error}; mend that and go on"


def _table_errors() -> tuple[type[Exception], ...]:
    """What polars says of a table; none where nothing has loaded polars, which takes longer than a help text."""
    polars = sys.modules.get("polars")
    return () if polars is None else (polars.exceptions.PolarsError,)


Shown = tuple[Any, Callable[[Any], str]]
"""A result, and what makes text of it."""
