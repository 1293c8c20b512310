"""What the names of columns mean: the one table, and the columns of a file as layouts ask for them."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product, takewhile

import polars as pl

SIDES = (
    ("chosen", "rejected"),
    ("accepted", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("preferred_output", "non_preferred_output"),
    ("chosen", "reject"),
    ("selected", "rejected"),
    ("chosen_messages", "rejected_messages"),
    ("chosen_conversations", "rejected_conversations"),
    ("chosen_answer", "rejected_answer"),
    ("chosen_output", "rejected_output"),
    ("chosen_completion", "rejected_completion"),
    ("chosen_text", "rejected_text"),
    ("positive_response", "negative_response"),
    ("pos_resp", "neg_resp"),
    ("better_response", "worse_response"),
    ("winning_response", "losing_response"),
    ("response_j", "response_k"),
    ("preferred", "dispreferred"),
    ("preferred", "non_preferred"),
    ("preferred_response", "dispreferred_response"),
    ("preferred_completion", "dispreferred_completion"),
    ("preferred_answer", "dispreferred_answer"),
    ("chosen_reply", "rejected_reply"),
    ("chosen_summary", "rejected_summary"),
    ("chosen_generation", "rejected_generation"),
    ("answer_chosen", "answer_rejected"),
    ("output_chosen", "output_rejected"),
    ("completion_chosen", "completion_rejected"),
    ("text_chosen", "text_rejected"),
    ("good_response", "bad_response"),
    ("good_edited_response", "bad_edited_response"),
    ("good_answer", "bad_answer"),
    ("better_answer", "worse_answer"),
    ("best_response", "worst_response"),
    ("winner_response", "loser_response"),
    ("winning_completion", "losing_completion"),
    ("response_w", "response_l"),
    ("answer_w", "answer_l"),
    ("answer_winning", "answer_losing"),
    ("y_w", "y_l"),
)
"""What the columns of the better and of the worse reply are called together, the first to look for first."""
NAMES: dict[str, tuple[str, ...]] = {
    "prompt": (
        "prompt",
        "question",
        "query",
        "instruction",
        "user_prompt",
        "user_input",
        "problem",
        "prompt_text",
        "user_message",
        "user_query",
    ),
    "conversation": (
        *("messages", "conversations", "conversation", "conversation_input"),
        *("trajectory", "dialogue", "dialog", "contents"),
    ),
    "context": ("input", "context"),
    "history": ("history", "conversation_history", "chat_history"),
    "system": ("system", "system_prompt", "system_message", "system_instruction"),
    # `response` is last: alone it is the lone reply of a row, and the better one only beside a rejected one.
    "chosen": (*dict.fromkeys(chosen for chosen, _ in SIDES), "response"),
    "rejected": tuple(dict.fromkeys(rejected for _, rejected in SIDES)),
    "steps": ("initial_reason_steps",),
    "media": ("images", "image", "videos", "video", "audios", "audio"),
    "tools": ("tools", "functions"),
    "thinking": ("reasoning_content", "thinking", "reasoning"),
    "turns": ("turns",),
}
"""Role to the names of columns that have it, the first to look for first."""
_MEDIA = re.compile(
    r"(?:(?:input|prompt|user|query|question|source|file_name)_)?"
    r"(?:image|img|picture|photo|screenshot|video|audio)s?"
    r"(?:_(?:ids?|urls?|uris?|paths?|files?|file_names?|filenames?|names?|bytes|base64|b64|data|list))?|pixel_values"
)
"""What the columns are called that hold, or point to, pictures and sound, beside those of NAMES."""

LONE_REPLIES = ("completion", "response", "output", "answer", "reply", "generation")
"""Columns that hold the one reply of a row."""
REPLY_STEMS = (
    *("response", "output", "answer", "completion", "conversation", "conv", "reply"),
    *("human_ref", "orig_response", "summary", "messages", "text", "candidate", "generation"),
)
REPLY_ENDINGS = (("1", "2"), ("0", "1"), ("a", "b"), ("A", "B"))
"""How the names of the columns of two replies begin and end, such as response_1 and response_2."""
LETTERS = ("A", "B")
"""Columns of two replies that are called nothing else."""

TEXTS = ("response", "text", "answer", "completion", "output", "content", "reply", "generation", "generated_text")
"""Keys of an object that hold the reply that it is."""
ASKING = ("full_text", "post", "article", "text", "prompt", "question", "query", "instruction", "content", "value")
"""Keys of an object that hold what is asked in it, the first to look in first."""

_MOST_REPLIES = 64
"""Most replies in columns of their own, where they are numbered; as letters, those up to i."""

LISTS = (
    *("completions", "answers", "responses", "candidates", "summaries", "generations", "outputs", "output", "replies"),
    *("choices", "all_generated_responses", "responses_and_scores"),
)
"""Columns that hold a list of replies, the first to look for first."""
SCORES = ("overall_score", "score", "rating", "reward", "pm_score", "fine-grained_score", "helpfulness", "upvotes")
RANKS = ("rank", "ranking")
"""Keys of a candidate, or columns of a row, that say how good a reply is, the higher or the lower the better."""
LOWER = ("ranks", "rank", "ranking", "losses")
"""Columns with a number per reply of which the lower is the better."""
BESIDE = ("scores", "ratings", "rating", "all_rm_scores", "rewards", *LOWER, "annotations")
"""Columns that hold a number per reply, in the order of the replies."""
PICKS = ("choice", "winner", "best", "label", "preference", "chosen_index")
"""Columns that name one reply of the list by its place."""

VERDICTS = (
    *("winner", "choice", "better_response_id", "verdict"),
    *("overall_preference", "preference", "preference_strength"),
    *("label", "labels", "orig_preference", "overall_response", "gold_label"),
    *("preference_label", "human_preference", "judgment", "judgement", "comparison", "selected_response"),
)
"""Columns that say which reply is better, those whose name says it before the many-sided `label`."""
MARKS = ("label", "kto_tag", "is_good", "good", "desirable", "is_desirable", "is_safe")
"""Columns that say whether the one reply of a row is good."""
BOOLEAN_MARKS = ("chosen", "accepted", "preferred", "is_chosen", "is_preferred", "is_correct", "correct", "thumbs_up")
"""Columns that say so where they hold true and false, and another thing where they hold texts or numbers."""
REQUESTS = ("body", "request", "info")
"""Columns that hold such an object and are looked at where no other column has a prompt."""

ASKED = frozenset(name for role in ("prompt", "conversation", "context", "history") for name in NAMES[role])
"""Columns that can be, or belong to, a prompt."""
SPOKEN = ASKED | {*NAMES["system"], *NAMES["chosen"], *NAMES["rejected"], *NAMES["turns"]}
"""Columns that hold what somebody says: what is neither text nor messages there must not pass for a text."""
NUMBERED = frozenset(
    f"{stem}{way}{end}" for stem in REPLY_STEMS for way in ("_", "") for pair in REPLY_ENDINGS for end in pair
).union(LETTERS)
"""Columns of replies of which it is said elsewhere which is the better."""
REPLIES = NUMBERED | {*NAMES["chosen"], *NAMES["rejected"], *LONE_REPLIES}
"""Columns that can be a reply, be it known or not yet which is the better."""
PAIRED = (REPLIES | {*LISTS}) - {*LONE_REPLIES}
"""Those that are one of several replies, or hold all of them."""
MEANT = (SPOKEN - {"response"}) | {name for role in ("steps", "media", "tools", "thinking") for name in NAMES[role]}
"""Columns that are never dropped in silence."""
PROMPTED = ASKED | {*NAMES["system"], *NAMES["turns"]}
"""Those of them that can belong to a prompt."""
GRADES = ("score", "rating", "reward", "upvotes")
"""How the names of columns begin or end that hold how good each reply is, such as score_1."""
_MANY = (
    f"{stem}{way}{end}"
    for stem in (*REPLY_STEMS, *GRADES, *RANKS, "model")
    for way in ("_", "")
    for end in (*map(str, range(_MOST_REPLIES + 1)), *"abcdefghi")
)
KNOWN = REPLIES.union(*NAMES.values(), _MANY, VERDICTS, LISTS, SCORES, RANKS, BESIDE, PICKS, MARKS, REQUESTS)
"""Every column that means something by its name."""


ANSWERED = "__answered_"
"""What a passing column begins with that says of another that annotators answered it: it ends with their file."""


def plainly(name: str) -> str:
    """A column's name in lower case, its words joined by underscores: chosen_response of `Chosen Response`."""
    # camelCase is parted first, while its capitals still show.
    return re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())).lower()


def known_as(named: Mapping[str, str]) -> dict[str, str]:
    """The columns that a user names, by role, and a name which means that the column is what it is said to be."""
    return {column: {"first": "chosen", "second": "rejected"}.get(role, role) for role, column in named.items()}


def free(name: str, columns: Collection[str]) -> str:
    """`given_NAME`, or with as many more `given_` as it takes to be none of `columns`."""
    new = f"given_{name}"
    while new in columns:
        new = f"given_{new}"
    return new


class Columns(Mapping[str, pl.DataType]):
    """The columns of a file and their types, with what the user calls them."""

    def __init__(
        self,
        schema: Mapping[str, pl.DataType],
        named: Mapping[str, str] | None = None,
        whole: Sequence[pl.LazyFrame] = (),
    ) -> None:
        """`named`: role to the column that the user says has it; `whole`: see `everywhere`."""
        self._schema = dict(schema)
        self._whole = whole
        self.named = {role: name for role, name in (named or {}).items() if name in self._schema}

    def everywhere(self, name: str, rows: pl.LazyFrame) -> list[pl.LazyFrame]:
        """What has the column `name` of all that belongs to `rows`, which may be a part of it.

        What a number means is decided by all values of its column.
        """
        return [one for one in self._whole if name in one.collect_schema()] or [rows]

    def __getitem__(self, name: str) -> pl.DataType:
        return self._schema[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._schema)

    def __len__(self) -> int:
        return len(self._schema)

    def having(self, role: str) -> list[str]:
        """The columns that have a role: the one that the user names, else those that are called so."""
        if role in self.named:
            return [self.named[role]]
        taken = set(self.named.values())
        found = [name for name in NAMES.get(role, (role,)) if name in self._schema and name not in taken]
        if role == "chosen":  # true and false are no replies, but say which are chosen
            found = [name for name in found if self._schema[name] != pl.Boolean]
        if role == "media":
            found += [name for name in self._schema if name not in found and self._shows(name)]
        if role == "chosen" and not found:  # answer beside rejected_answer
            # Only by its partner: `answer` is a reply among others, or the one to learn from, in any other file.
            lone = (self.first("rejected") or "").removeprefix("rejected_")
            return [lone] if lone in LONE_REPLIES and lone in self._schema and lone not in taken else []
        return found

    def _shows(self, name: str) -> bool:
        # A number or a mark is no picture, whatever its column is called.
        dtype = self._schema[name]
        return bool(_MEDIA.fullmatch(plainly(name))) and not (dtype.is_numeric() or dtype == pl.Boolean)

    def first(self, role: str) -> str | None:
        """The first of those, or None."""
        return next(iter(self.having(role)), None)

    def numbered(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """What replies may be called, with the columns that count on from there: response, (response_1, response_2)."""
        counted = [[str(start + place) for place in range(_MOST_REPLIES)] for start in (0, 1)]
        for stem, ends, between in product(REPLY_STEMS, (*counted, "abcdefghi", "ABCDEFGHI"), ("_", "")):
            names = (f"{stem}{between}{end}" for end in ends)
            yield stem, tuple(takewhile(self._schema.__contains__, names))
        yield "reply", tuple(takewhile(self._schema.__contains__, "ABCDEFGHI"))

    def answered_first(self, names: Sequence[str]) -> list[str]:
        """`names`, what annotators answered before what they were shown."""
        return sorted(names, key=lambda name: f"{ANSWERED}{name}" not in self)

    @property
    def asked(self) -> list[str]:
        """Every column that can be a prompt or belong to one, whatever its type."""
        roles = ("prompt", "conversation", "context", "history")
        return [name for role in roles for name in self.having(role)]
