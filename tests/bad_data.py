"""Bad data files, one per case, and what must come of each: refused, or every row accounted for."""

import gzip
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa


class Refused(NamedTuple):
    """One sentence that holds all of `words`, and the exit code."""

    words: tuple[str, ...]
    code: int = 2


class Taken(NamedTuple):
    """Rows kept, and reason to number of the rows set aside; together they are all rows of the file."""

    kept: int
    rejected: Mapping[str, int] = {}


Content = bytes | Callable[[Path], object]
"""What is in the file, or what puts something in its place."""
Case = tuple[str, Content, Refused | Taken]


def refused(*words: str, code: int = 2) -> Refused:
    return Refused(words, code)


def line(**columns: Any) -> bytes:
    return json.dumps(columns).encode()


def lines(*rows: bytes) -> bytes:
    return b"\n".join(rows)


def parquet(**columns: Any) -> bytes:
    held = io.BytesIO()
    pl.DataFrame(columns).write_parquet(held)
    return held.getvalue()


def zstandard(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def talk(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


def loop(path: Path) -> None:
    path.symlink_to(path)


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nobody"))


GOOD = line(prompt="Why is the sky blue?")
IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
DEEP = b'{"prompt": "x", "a":' + b'{"a":' * 5000 + b"1" + b"}" * 5001

PROMPTS: dict[str, Case] = {
    "wrong encoding": ("x.jsonl", '{"prompt": "caf\xe9"}'.encode("latin-1"), refused("x.jsonl", "line 1", "UTF-8")),
    "wrong encoding in a row": ("x.jsonl", lines(GOOD, b'{"prompt": "\xff"}'), Taken(1, {"unreadable": 1})),
    "wrong encoding in a line": ("x.txt", b"caf\xe9\nok\n", Taken(1, {"unreadable": 1})),
    "byte order mark": ("x.jsonl", b"\xef\xbb\xbf" + GOOD, Taken(1)),
    "utf-16": ("x.jsonl", GOOD.decode().encode("utf-16"), Taken(1)),
    "utf-16 without a mark": ("x.jsonl", GOOD.decode().encode("utf-16-le"), refused("x.jsonl", "line 1 is not JSON")),
    "utf-32": ("x.jsonl", GOOD.decode().encode("utf-32"), refused("x.jsonl", "line 1 is not JSON")),
    "nul bytes": ("x.jsonl", b"\0" * 64, refused("x.jsonl", "line 1 is not JSON")),
    "nul in a text": ("x.jsonl", b'{"prompt": "a\\u0000b"}', Taken(1)),
    "nul in a cell": ("x.csv", b"prompt\na\0b\n", Taken(1)),
    "lone surrogate": ("x.jsonl", b'{"prompt": "a\\ud800b"}', Taken(1)),
    "lone surrogate in a key": ("x.jsonl", b'{"prompt": "x", "k\\ud800": 1}', Taken(1)),
    "lone surrogate in a role": (
        "x.jsonl",
        b'{"messages": [{"role": "us\\ud800er", "content": "x"}]}',
        refused("x.jsonl", "no prompt can be used", "1 bad_roles"),
    ),
    "cell of 10 MB": ("x.jsonl", lines(line(prompt="a" * 10_000_000), GOOD), Taken(1, {"too_long": 1})),
    "deep nesting": ("x.jsonl", lines(DEEP, GOOD), Taken(1, {"unreadable": 1})),
    "one id twice": ("x.jsonl", lines(line(prompt_id="1", prompt="a"), line(prompt_id="1", prompt="b")), Taken(2)),
    "one prompt twice": ("x.jsonl", lines(GOOD, GOOD), Taken(1, {"duplicate_prompt": 1})),
    "nan for a prompt": (
        "x.jsonl",
        b'{"prompt": NaN}',
        refused("x.jsonl", "no column holds prompts", "prompt (number)"),
    ),
    "nan beside a prompt": ("x.jsonl", b'{"prompt": "x", "score": NaN, "more": -Infinity}', Taken(1)),
    "number for a prompt": ("x.jsonl", lines(line(prompt=5), GOOD), Taken(1, {"unreadable": 1})),
    "object for a prompt": ("x.jsonl", lines(line(prompt={"a": 1}), GOOD), Taken(1, {"not_text": 1})),
    "image for a prompt": ("x.jsonl", lines(line(prompt=IMAGE), GOOD), Taken(1, {"not_text": 1})),
    "image in a turn": ("x.jsonl", lines(line(messages=talk(("user", IMAGE))), GOOD), Taken(1, {"not_text": 1})),
    "null among the turns": ("x.jsonl", lines(line(messages=[None]), GOOD), Taken(1, {"unreadable": 1})),
    "no turns": ("x.jsonl", lines(line(messages=[]), GOOD), Taken(1, {"empty_prompt": 1})),
    "roles out of order": (
        "x.jsonl",
        lines(
            line(messages=talk(("assistant", "a"), ("user", "b"))),
            line(messages=talk(("user", "a"), ("user", "b"))),
            GOOD,
        ),
        Taken(1, {"bad_roles": 2}),
    ),
    "unknown role": ("x.jsonl", lines(line(messages=talk(("wizard", "a"))), GOOD), Taken(1, {"bad_roles": 1})),
    "tool turn": (
        "x.jsonl",
        lines(line(messages=talk(("user", "a"), ("tool", "b"), ("user", "c"))), GOOD),
        Taken(1, {"tool_turns": 1}),
    ),
    "turn without content": ("x.jsonl", lines(b'{"messages": [{"role": "user"}]}', GOOD), Taken(1, {"not_text": 1})),
    "white space": ("x.jsonl", lines(line(prompt=" \n\t"), line(prompt=None), GOOD), Taken(1, {"empty_prompt": 2})),
    "empty file": ("x.jsonl", b"", refused("x.jsonl", "the file is empty")),
    "blank lines": ("x.jsonl", b"\n \n", refused("x.jsonl", "it holds no row")),
    "no rows": (
        "x.parquet",
        parquet(prompt=pl.Series([], dtype=pl.String)),
        refused("x.parquet", "no prompt can be used"),
    ),
    "gz that is not gz": ("x.jsonl.gz", b"\x1f\x8b\x08\0garbage", refused("x.jsonl.gz", "gzip data", "damaged")),
    "gz cut off": ("x.jsonl.gz", gzip.compress(GOOD * 999)[:-9], refused("x.jsonl.gz", "damaged or cut off")),
    "gz in gz": ("x.jsonl.gz", gzip.compress(gzip.compress(GOOD)), refused("x.jsonl.gz", "compressed twice")),
    "zst that is not zst": (
        "x.jsonl.zst",
        b"\x28\xb5\x2f\xfdgarbage",
        refused("x.jsonl.zst", "Zstandard data", "damaged"),
    ),
    "zst cut off": ("x.jsonl.zst", zstandard(GOOD * 999)[:-9], refused("x.jsonl.zst", "damaged or cut off")),
    "zst in gz": ("x.jsonl.gz", gzip.compress(zstandard(GOOD)), refused("x.jsonl.gz", "compressed twice")),
    "plain called zst": ("x.jsonl.zst", GOOD, Taken(1)),
    "plain called gz": ("x.jsonl.gz", GOOD, Taken(1)),
    "parquet cut off": ("x.parquet", parquet(prompt=["a"])[:-6], refused("x.parquet", "cannot be read")),
    "bytes in parquet": ("x.parquet", parquet(prompt=[b"\xff"]), refused("x.parquet", "not_text", "no UTF-8")),
    "pickle": ("x.pkl", b"\x80\x04\x95abc", refused("x.pkl", "is a Python pickle")),
    "web page": ("x.jsonl", b"<html>404</html>", refused("x.jsonl", "is a web page")),
    "column twice": ("x.csv", b"prompt,prompt\na,b\n", refused("x.csv", "the column 'prompt' is there twice")),
    "cell too many": ("x.csv", b"prompt,n\na,1\nc,2,e\n", Taken(1, {"unreadable": 1})),
    "quote left open": ("x.csv", b'prompt\n"a\n', refused("x.csv, line 2", "not CSV")),
    "name full of patterns": ("x[1]*?.jsonl", GOOD, Taken(1)),
    "our names for theirs": (
        "x.jsonl",
        lines(line(prompt="a", portion=9, __row=1, reason="x", __prompt=2), GOOD),
        Taken(2),
    ),
    "folder without data": ("x", lambda path: path.mkdir(), refused("/x:", "there is no Parquet, JSONL, JSON or CSV")),
    "folder called jsonl": ("x.jsonl", lambda path: path.mkdir(), refused("x.jsonl", "there is no Parquet")),
    "link to itself": ("x.jsonl", loop, refused("x.jsonl", "Too many levels of symbolic links")),
    "link to nothing": ("x.jsonl", dangling, refused("x.jsonl", "No such file")),
    "pipe": ("x.jsonl", lambda path: os.mkfifo(path), refused("x.jsonl", "is no file with data in it")),
    "nothing there": ("x.jsonl", lambda path: None, refused("x.jsonl", "No such file")),
}

PAIR = {"prompt": "Why?", "chosen": "Because it is.", "rejected": "No."}
OK = line(**PAIR)


def pair(**columns: Any) -> bytes:
    return line(**{**PAIR, **columns})


def sides(chosen: list[dict[str, Any]], rejected: list[dict[str, Any]]) -> bytes:
    return line(chosen=chosen, rejected=rejected)


ASKED = [("user", "Why?")]
ANSWER = talk(*ASKED, ("assistant", "No."))

PAIRS: dict[str, Case] = {
    "one id on two pairs": ("x.jsonl", lines(pair(pair_id="1"), pair(pair_id="1", prompt="Who?")), Taken(2)),
    "one pair twice": ("x.jsonl", lines(OK, OK), Taken(1, {"exact": 1})),
    "negative lengths": ("x.jsonl", pair(tokens_chosen=-5, tokens_rejected=-1), Taken(1)),
    "text for an iteration": ("x.jsonl", lines(pair(iteration="two", prompt="Who?"), OK), Taken(2)),
    "number beyond 64 bits": ("x.jsonl", lines(pair(iteration=2**70, prompt="Who?"), OK), Taken(2)),
    "nan for a log-probability": (
        "x.jsonl",
        OK[:-1] + b', "logp_chosen_plain": NaN, "logp_chosen_good": Infinity}',
        Taken(1),
    ),
    "two replies alike": ("x.jsonl", lines(pair(rejected=" Because it is. "), OK), Taken(1, {"identical": 1})),
    "empty reply": ("x.jsonl", lines(pair(chosen=" "), OK), Taken(1, {"empty_chosen": 1})),
    "no reply": ("x.jsonl", lines(pair(rejected=None), OK), Taken(1, {"empty_rejected": 1})),
    "number for a reply": ("x.jsonl", lines(pair(rejected=3), OK), Taken(1, {"unreadable": 1})),
    "object for a reply": ("x.jsonl", lines(pair(chosen={"a": 1}), OK), Taken(1, {"unreadable": 1})),
    "list for a reply": ("x.jsonl", lines(pair(chosen=["a", None]), OK), Taken(1, {"unreadable": 1})),
    "image for the prompt": ("x.jsonl", lines(pair(prompt=IMAGE), OK), Taken(1, {"not_text": 1})),
    "two prompts": (
        "x.jsonl",
        lines(sides(talk(("user", "a"), ("assistant", "b")), ANSWER), OK),
        Taken(1, {"prompts_differ": 1}),
    ),
    "no answer at the end": (
        "x.jsonl",
        lines(sides(talk(*ASKED, ("assistant", "a"), ("user", "b")), ANSWER), OK),
        Taken(1, {"bad_roles": 1}),
    ),
    "tool call": (
        "x.jsonl",
        lines(sides([*talk(*ASKED), {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}], ANSWER), OK),
        Taken(1, {"tool_turns": 1}),
    ),
    "image in a reply": (
        "x.jsonl",
        lines(sides(talk(*ASKED, ("assistant", IMAGE)), ANSWER), OK),
        Taken(1, {"not_text": 1}),
    ),
    "labels that may be degrees": (
        "x.jsonl",
        lines(*(line(prompt=f"q{n}", response_1="a", response_2="b", label=n) for n in (1, 3))),
        refused("x.jsonl", "label holds 1, 3", "which is meant?"),
    ),
    "no such label": (
        "x.jsonl",
        lines(
            line(prompt="q", response_1="a", response_2="b", label="left or so"),
            line(prompt="q", response_1="a", response_2="b", label="1"),
        ),
        Taken(1, {"unreadable": 1}),
    ),
    "reply of 10 MB": ("x.jsonl", lines(pair(chosen="x" * 10_000_000), OK), Taken(1, {"gap": 1})),
    "our passing names": (
        "x.jsonl",
        lines(pair(__row=1, __row__=2, __reason="u", __prompt=9, filter="f"), pair(prompt="Who?")),
        Taken(2),
    ),
    "no name": ("x.jsonl", pair(**{"": 1, "a.b": 2}), Taken(1)),
    "half an emoji": ("x.jsonl", pair(chosen="a \ud83d b c d"), Taken(1)),
    "deep nesting": (
        "x.jsonl",
        lines(OK[:-1] + b', "x":' + b"[" * 3000 + b"]" * 3000 + b"}", OK),
        Taken(1, {"unreadable": 1}),
    ),
    "prompts alone": ("x.jsonl", GOOD, refused("x.jsonl", "no pairs can be read from its columns")),
    "wrong encoding": (
        "x.csv",
        "prompt,chosen,rejected\na,caf\xe9,c\n".encode("latin-1"),
        refused("x.csv, line 2", "UTF-8"),
    ),
    "parquet of garbage": ("x.parquet", b"PAR1" + b"\0" * 99, refused("x.parquet", "cannot be read")),
}

ELSEWHERE: dict[str, tuple[str, Refused]] = {
    "server that is not there": (
        "http://127.0.0.1:9/x.jsonl",
        refused("http://127.0.0.1:9/x.jsonl", "cannot be fetched"),
    ),
    "file address": ("file:///no/such/x.jsonl", refused("file:///no/such/x.jsonl", "cannot be fetched")),
    "unknown scheme": ("foo://x/y.jsonl", refused("foo://x/y.jsonl", "cannot be fetched", "foo")),
    "no name": ("", refused("'': is no path")),
    "name too long": ("x" * 5000, refused("File name too long")),
    "half a character": ("a\ud800.jsonl", refused("is no path")),
}
