"""`explain`: what a key, filter, reason, column, format, layout or exit code is, from where the code itself has it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from factory import errors, schema
from factory.config import Config, FiltersConfig
from factory.config.pairs import PAIR_MAKERS
from factory.config.training import LOSSES
from factory.errors import ConfigError, FactoryError
from factory.exports import EXPORTERS
from factory.readers.layouts import layouts
from factory.reward.config import RewardTraining
from factory.strict import blocks_in, descriptions
from filters import FILTERS, PRESETS

CONFIG_KEY, FILTER, OPTION, REASON = "configuration key", "filter", "filter option", "reason"
COLUMN, FORMAT, LAYOUT, EXIT_CODE = "column", "export format", "pair layout", "exit code"
KINDS = (CONFIG_KEY, FILTER, OPTION, REASON, COLUMN, FORMAT, LAYOUT, EXIT_CODE)
"""Kinds of entries, in the order of the reference."""
_TABLES = (schema.PROMPTS, schema.FEATURES, schema.CONTRAST, schema.SCORES, schema.JUDGMENTS, schema.REJECTED)
_ONE_OF = {key: {"one of": ", ".join(names)} for key, names in (("pairs.from", PAIR_MAKERS), ("training.loss", LOSSES))}
"""The names that a key of a registry may take; its type says only that they are text."""
_MEMBERS = {
    CONFIG_KEY: ((CONFIG_KEY, ".", "configuration keys"),),
    FILTER: ((OPTION, ".", "filter options"), (REASON, ": ", "reasons")),
}
"""Of what has members: their kind, what parts their name from its own, and what they are called together."""
_NEAREST = 4


class Entry(NamedTuple):
    """One thing that has a name."""

    kind: str
    """One of KINDS."""
    name: str
    """In full: `training.gamma`, `length_gap.max_chars`, `triples: leak`, `pairs.chosen`."""
    meaning: str
    facts: Mapping[str, str] = {}
    """Further facts by name, such as type and default."""

    @property
    def text(self) -> str:
        """As a terminal shows it."""
        facts = "".join(f"\n  {name}: {value}" for name, value in self.facts.items())
        return f"{self.name}  ({self.kind})\n  {self.meaning}{facts}"

    def answers_to(self, name: str) -> bool:
        """Whether `name` is its name, the last parts of it, a longer path to it, or one of the values it may take."""
        # As they are shown, so that what the reference lists can be looked up.
        values = self.facts.get("one of", "").split(", ")
        last = self.name.endswith((f".{name}", f": {name}"))
        # A longer path too: `judges.0.engine.timeout` is the `timeout` of every engine.
        return last or name in (self.name, *values) or name.endswith(f".{self.name}")


def explain(name: str) -> list[Entry]:
    """What is called `name`, in full or by its last part; a value such as `ipo` finds the key that takes it.

    Raises ConfigError, with the nearest names, where nothing is.
    """
    known = reference()
    wanted = name.strip()
    found = [entry for entry in known if entry.answers_to(wanted)]
    if not found:
        names = {short for entry in known for short in (entry.name, entry.name.split(".")[-1].split(": ")[-1])}
        near = get_close_matches(wanted, sorted(names), n=_NEAREST, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "the reference, docs/reference.md, lists all there is"
        raise ConfigError(f"nothing is called {name!r}; {hint}")
    return [_with_members(entry, known) for entry in found]


def _with_members(entry: Entry, known: Sequence[Entry]) -> Entry:
    """Of a block its keys, and of a filter its options and reasons, by name."""
    facts = dict(entry.facts)
    for kind, mark, label in _MEMBERS.get(entry.kind, ()):
        parted = (one.name.rpartition(mark) for one in known if one.kind == kind)
        names = [name for of, _, name in parted if of == entry.name]
        facts |= {label: ", ".join(dict.fromkeys(names))} if names else {}
    return entry._replace(facts=facts)


def reference() -> list[Entry]:
    """Every entry there is, kind by kind."""
    return [*_keys(), *_filters(), *_reasons(), *_columns(), *_formats(), *_layouts(), *_exit_codes()]


def page(known: Sequence[Entry] | None = None) -> str:
    """The reference as a Markdown page, docs/reference.md; `known` are its entries, where they are at hand."""
    head = "# Reference\n\nEvery name the factory has, made by `sso-factory explain --all` from the code itself.\n"
    known = reference() if known is None else known
    parts = [_section(kind, [entry for entry in known if entry.kind == kind]) for kind in KINDS]
    return "\n".join([head, *parts])


def _section(kind: str, entries: Sequence[Entry]) -> str:
    facts = list(dict.fromkeys(name for entry in entries for name in entry.facts))
    rows = [["name", "meaning", *facts], ["---"] * (2 + len(facts))]
    rows += [[f"`{entry.name}`", entry.meaning, *(entry.facts.get(name, "") for name in facts)] for entry in entries]
    lines = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    title = "Columns, by table" if kind == COLUMN else f"{kind[0].upper()}{kind[1:]}s"
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _keys() -> Iterator[Entry]:
    yield from _keys_of(Config, "")
    told = descriptions(FiltersConfig)
    for name, field in FiltersConfig.model_fields.items():
        yield Entry(CONFIG_KEY, f"FILTERS.yaml: {name}", _meaning(told.get(name), ()), _typed(field, ()))
    yield from _keys_of(RewardTraining, "reward train: ")


def _keys_of(block: type[BaseModel], before: str, among: Mapping[str, str] | None = None) -> Iterator[Entry]:
    """The keys of a block and of the blocks in it; blocks told apart by `kind` say which one a key is of."""
    told = descriptions(block)
    for key, field in block.model_fields.items():
        name, inner = field.alias or key, list(blocks_in(field.annotation))
        kinds = {one.model_fields["kind"].default: one for one in inner if "kind" in one.model_fields}
        yield Entry(
            CONFIG_KEY,
            before + name,
            _meaning(block.__doc__ if name == "kind" else told.get(key), inner),
            {**_typed(field, inner), **_ONE_OF.get(before + name, {}), **(among or {})},
        )
        if kinds and not before:  # an engine inside an engine, or a judge's, has the keys of the first
            yield from _joined(
                entry for kind, one in kinds.items() for entry in _keys_of(one, f"{name}.", {"engine": str(kind)})
            )
        elif not kinds:
            for one in inner:
                yield from _keys_of(one, f"{before}{name}.", among)


def _joined(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Keys that several engines have alike, as one entry that names them all."""
    found: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        alike = [(name, said) for name, said in entry.facts.items() if name != "engine"]
        found.setdefault((entry.name, entry.meaning, *alike), []).append(entry)
    for same in found.values():
        yield same[0]._replace(facts={**same[0].facts, "engine": ", ".join(one.facts["engine"] for one in same)})


def _meaning(said: str | None, inner: Sequence[type[BaseModel]]) -> str:
    return " ".join((said or (inner[0].__doc__ if inner else None) or "").split())


def _typed(field: FieldInfo, inner: Sequence[type[BaseModel]]) -> dict[str, str]:
    facts = {}
    choices = list(_choices(field.annotation))
    if choices:
        facts["one of"] = ", ".join(str(choice) for choice in choices)
    if field.is_required():
        facts["default"] = "must be given"
    elif not inner and not isinstance(field.get_default(call_default_factory=True), BaseModel):
        facts["default"] = _shown(field.get_default(call_default_factory=True))
    return facts


def _choices(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
        return
    for part in get_args(annotation):
        yield from _choices(part)


def _shown(value: Any) -> str:
    """A default as YAML writes it."""
    # None and truth before numbers: True is 1 to Python, and as a key of a mapping it would find what 1 stands for.
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(sorted(_shown(one) for one in value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_shown(key)}: {_shown(one)}" for key, one in sorted(value.items())) + "}"
    return str(value)


def _filters() -> Iterator[Entry]:
    for name, blocks in PRESETS.items():
        yield Entry(FILTER, name, "A preset: stands for " + ", ".join(map(_written, blocks)) + ".")
    kinds = {name: FILTERS.load(name) for name in FILTERS}
    for name, kind in kinds.items():
        yield Entry(FILTER, name, " ".join((kind.__doc__ or "").split()))
    for name, kind in kinds.items():
        told = descriptions(kind)
        for option, field in kind.model_fields.items():
            yield Entry(OPTION, f"{name}.{option}", _meaning(told.get(option), ()), _typed(field, ()))


def _written(block: Mapping[str, Any]) -> str:
    """A filter's block as YAML writes it on one line."""
    return "{" + ", ".join(f"{key}: {value}" for key, value in block.items()) + "}"


def _reasons() -> Iterator[Entry]:
    sources = {**schema.REASONS, **{name: FILTERS.load(name).reasons for name in FILTERS}}
    for source, reasons in sources.items():
        for token, meaning in reasons.items():
            yield Entry(REASON, f"{source}: {token}", meaning)


def _columns() -> Iterator[Entry]:
    for table in _TABLES:
        for name, column in table.columns.items():
            facts = {"type": str(column.dtype), "may be null": "yes" if column.nullable else "no"}
            yield Entry(COLUMN, f"{table.name}.{name}", column.meaning, facts)


def _formats() -> Iterator[Entry]:
    for name, place in EXPORTERS.items():
        module = place.partition(":")[0]
        about = " ".join((resolve_name(module).__doc__ or "").split())
        yield Entry(FORMAT, name, about, {"columns": ", ".join(EXPORTERS.load(name).fields)})


def _layouts() -> Iterator[Entry]:
    for name, layout in layouts().items():
        yield Entry(LAYOUT, name, layout.about)


def _exit_codes() -> Iterator[Entry]:
    # In the order of the file, whose first is the base: what every error is says nothing of an exit code.
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, FactoryError)]
    said: dict[int, list[str]] = {0: ["done"]}
    for kind in kinds[1:]:
        said.setdefault(kind.exit_code, []).append(" ".join((kind.__doc__ or "").split()))
    for code, meanings in sorted(said.items()):
        yield Entry(EXIT_CODE, str(code), " ".join(meanings))
