"""What pages of HTML have in common: their styles and scripts, and a policy that lets them run nothing else."""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files


def asset(name: str, package: str = "factory.exports") -> str:
    """A file of the templates of `package`."""
    return files(package).joinpath(f"templates/{name}").read_text(encoding="utf-8")


def content_policy(style: str, script: str | None = None, *more: str) -> str:
    """A Content-Security-Policy: this style, this script, what `more` directives allow, and nothing else.

    They are allowed by their hash and not by 'unsafe-inline', so that markup in a reply, should it ever get past the
    escaping, still cannot act.
    """
    scripts = [] if script is None else [f"script-src {_source(script)}"]
    allowed = [*scripts, f"style-src {_source(style)}", *more]
    return "; ".join(["default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'"])


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
