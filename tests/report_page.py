"""A report as the parser of HTML sees it."""

import gzip
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """Tags with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str]] = []
        self._filled = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            return
        if self.raw and self._filled == len(self.tags):
            data = self.raw.pop()[1] + data
        self._filled = len(self.tags)
        self.raw.append((self.tags[-1][0], data))

    @property
    def sections(self) -> list[str]:
        return [attrs["id"] or "" for tag, attrs in self.tags if tag == "section"]


def unpacked(block: str) -> Any:
    """What a block of the page holds, which is base64 and nothing that could end an element."""
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", block)
    return json.loads(gzip.decompress(b64decode(block)))


def data(page: Page) -> tuple[dict, list[dict]]:
    """The index of the pairs, and the pairs."""
    index, *blocks = [unpacked(text) for tag, text in page.raw[:-1] if tag == "script"]
    return index, [pair for block in blocks for pair in block]
