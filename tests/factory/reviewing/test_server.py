"""The review's server over real HTTP: what it serves to its page, and what it refuses to everybody else."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from factory.errors import ConfigError
from factory.reviewing.labels import BY, Answers, journal_of, write_labels
from factory.reviewing.server import serve
from factory.reviewing.session import ReviewItem, Session
from factory.store.ownership import Record

JSON = {"Content-Type": "application/json"}


class Served(NamedTuple):
    host: str
    root: str
    labels: Path

    def ask(self, method: str, path: str, body: Any = None, root: str | None = None, **headers: str) -> Any:
        connection = http.client.HTTPConnection(*self.host.split(":"))
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        said = None if body is None else body if isinstance(body, str) else json.dumps(body)
        connection.request(method, (self.root if root is None else root) + path, said, given)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer, json.loads(text) if text.startswith("{") else text


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    labels = tmp_path / "labels.parquet"
    items = [ReviewItem(f"p{n}", [{"role": "user", "content": "q"}], f"c{n}", f"r{n}", {}) for n in range(2)]
    ready, address = threading.Event(), []

    def opened(url: str) -> None:
        address.append(urlsplit(url))
        ready.set()

    Record.read(tmp_path).claim([labels.name, journal_of(labels, "ana").name], BY)
    with Answers(labels, "ana") as answers:
        session = Session(items, answers, 1, False)
        thread = threading.Thread(target=serve, args=(session, lambda: write_labels(labels), opened))
        thread.start()
        assert ready.wait(60)
        found = Served(address[0].netloc, address[0].path, labels)
        yield found
        found.ask("POST", "finish", {}, **JSON)
        thread.join(60)
        assert not thread.is_alive()


def test_a_review_from_end_to_end(served: Served) -> None:
    import polars as pl

    answer, body = served.ask("GET", "")
    assert (answer.status, answer.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Which reply is better?" in body
    _, state = served.ask("GET", "state")
    assert (state["turn"], state["total"], state["pair"]["prompt"][0]["text"]) == (0, 2, "q")
    _, state = served.ask("POST", "answer", {"turn": 0, "answer": "t"}, **JSON)
    assert state["turn"] == 1
    assert pl.read_parquet(served.labels)["label"].to_list() == ["tie"]
    answer, state = served.ask("POST", "answer", {"turn": 0, "answer": "u"}, **JSON)
    assert (answer.status, state["turn"], state["stale"]) == (409, 1, True), "of a window that has not seen the answer"
    _, state = served.ask("POST", "answer", {"turn": 1, "answer": "u"}, **JSON)
    assert (state["turn"], state["last"]) == (0, None)
    assert pl.read_parquet(served.labels).is_empty()


@pytest.mark.parametrize(
    "body", [{"turn": 1, "answer": "1"}, {"turn": 0}, {}, [], "no json", {"turn": "x", "answer": 1}]
)
def test_what_is_no_answer_changes_nothing(body: Any, served: Served) -> None:
    answer, state = served.ask("POST", "answer", body, **JSON)
    assert (answer.status, state["turn"]) == (409, 0)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Host": "evil.example"}, "another name for this machine"),
        ({"Host": "127.0.0.1"}, "another port"),
        ({"Origin": "https://evil.example"}, "another site"),
        ({"Origin": "null"}, "a file or a sandbox"),
        ({"Sec_Fetch_Site": "cross-site"}, "a link or form elsewhere"),
        ({"Content_Type": "text/plain"}, "a form's way to send"),
    ],
)
def test_other_hosts_sites_and_forms_are_refused(headers: dict[str, str], why: str, served: Served) -> None:
    for method, path, body in (
        ("POST", "answer", {"turn": 0, "answer": "1"}),
        ("POST", "answer", {"turn": 0, "answer": "u"}),
        ("GET", "state", None),
    ):
        if method == "GET" and "Content_Type" in headers:
            continue
        answer, said = served.ask(
            method, path, body, **({**JSON, **headers} if "Content_Type" not in headers else headers)
        )
        assert answer.status == 403, why
        assert "pair" not in str(said)
    _, state = served.ask("GET", "state", Origin=f"http://{served.host}", Sec_Fetch_Site="same-origin")
    assert state["turn"] == 0


@pytest.mark.parametrize("root", ["/", "/wrong/", "//"])
def test_without_the_token_there_is_nothing(root: str, served: Served) -> None:
    assert len(served.root.strip("/")) >= 32
    for path in ("", "state"):
        answer, said = served.ask("GET", path, root=root)
        assert answer.status == 404
        assert "q" not in said


def test_a_large_body_is_refused(served: Served) -> None:
    answer, _ = served.ask("POST", "answer", json.dumps({"turn": 0, "answer": "1" * 100_000}), **JSON)
    assert answer.status in (409, 413)
    assert served.ask("GET", "state")[1]["turn"] == 0


def test_a_port_in_use_is_one_sentence(served: Served, tmp_path: Path) -> None:
    port = int(served.host.split(":")[1])
    with (
        Answers(tmp_path / "other.parquet", "ana") as answers,
        pytest.raises(ConfigError, match=rf"port {port} .* another"),
    ):
        serve(Session([], answers, 1, False), lambda: None, lambda _: None, port)
