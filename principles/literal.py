"""Data as JSON on one line, in which nothing stands that a frame, a tokenizer or a terminal takes for its own."""

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

TURNING = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Invisible letters that turn the direction of what is beside them, inside a character class."""
_STEERING = rf"\x7f-\x9f\u2028\u2029{TURNING}\ufeff\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f"
"""Control, direction and tag characters, and lone surrogates: never shown as they are."""
OPENERS = "<>[]\u226e\u226f\ufe47\ufe48\ufe64\ufe65\uff1c\uff1e\uff3b\uff3d"
"""What a control token may begin with, and what normalisers fold into that."""
_SUSPECT = re.compile(f"[{_STEERING}]|[{re.escape(OPENERS)}]")
_NAMES = (
    "s|unk|pad|bos|eos|sep|cls|mask|think|thinking|tool|image|img|video|audio|user|human|assistant|bot|system|ai"
    "|eot|eod|eop|sop|eoh|eoa|eom|bom|sys|inst|box|ref|quad|begin|end|sos|context"
)
"""Control tokens that are called like words; those with a digit, a line or capitals in them need no list."""
_CONTROL = re.compile(
    rf"""
      </?\|                                     # <|im_end|>, <｜User｜>
    | </?(?i:{_NAMES})>                         # </s>, <eos>
    | </?(?!h[1-6]>)\w*[_\d]\w*>                # <start_of_turn>, <unused0>, <0x0A>; not <h1>
    | </?[A-Z]{{2,}}>                           # <<SYS>>, <EOT>
    | </?(?:fim|seed|extra)[-:]                 # <fim-prefix>, <seed:bos>
    | \[[@|]                                    # [|assistant|], [@BOS@]
    | \[/?[a-z]?[A-Z_]+\]                       # [INST], [gMASK]
    | \[(?:unused|control_|reserved_|special_|extra_id_)\d+\]
    | \[e~\[ | \][~!<]+[\w~!]*[][]              # ]~b], ]~!b[, [e~[
    | >>[A-Z]+<<                                # >>QUESTION<<
    """,
    re.VERBOSE,
)
_LONGEST = 64
"""Letters looked at after an opener; of longer control tokens the beginning tells."""
_MARK = re.compile(r"</?[A-Za-z][\w-]*|\[/?[\w ]+\]")


def json_literal(value: Any, marks: Iterable[str] = ()) -> str:
    r"""`value` as JSON on one line that no frame, tokenizer or terminal takes for its own.

    Beside what JSON escapes (quotes, backslashes, line ends), these are written as \uXXXX: control, direction and tag
    characters, lone surrogates, and the first letter of what a tokenizer may know as a control token (<|im_end|>, </s>,
    [INST]), also where that is so only after Unicode folding, and of the frame's own `marks`. All else, code and markup
    above all, stays as it is. `json.loads` gives back exactly `value` (two surrogates that stand for one
    character come back as that character).
    """
    text, own = json.dumps(value, ensure_ascii=False), tuple(mark.lower() for mark in marks)

    def written(found: re.Match[str]) -> str:
        # Only the beginning of what might be a token: escaping every < would make code and markup hard to judge.
        if found[0] in OPENERS:
            ahead = folded(text[found.start() : found.start() + _LONGEST])
            if not _CONTROL.match(ahead) and not ahead.lower().startswith(own or ("\0",)):
                return found[0]
        # Beyond the first plane JSON writes two surrogates, which json.dumps makes of the character.
        code = ord(found[0])
        return f"\\u{code:04x}" if code < 0x10000 else json.dumps(found[0])[1:-1]

    return _SUSPECT.sub(written, text)


def folded(text: str) -> str:
    """`text` as normalisers may leave it: compatible forms made one, accents and invisible letters gone."""
    if text.isascii():
        return text
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", text) if unicodedata.category(letter) not in ("Mn", "Cf")
    )


def marks_of(text: str) -> frozenset[str]:
    """Tags and bracketed words that a template's own text uses, with which data must not close its frame."""
    return frozenset(_MARK.findall(text))
