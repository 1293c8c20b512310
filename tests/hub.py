"""A stand-in for the Hub's HTTP API on this machine: repository creation, preupload, LFS, commit; faults on demand."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Hub:
    """Repositories in memory. `fail` maps a part of a path to a status that the next requests to it get."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.blobs: dict[str, bytes] = {}
        self.commits: list[list[str]] = []
        self.uploads: list[str] = []
        self.tokens: set[str | None] = set()
        self.fail: dict[str, int] = {}
        self.refuse_upload_after: int | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        failing = [status for part, status in self.fail.items() if part in path]
        if failing:
            return failing[0], {"error": "as the test wants it"}
        match method, path.split("?")[0].strip("/").split("/"):
            case "POST", ["api", "repos", "create"]:
                return self._create(json.loads(body))
            case "POST", ["api", "validate-yaml"]:
                return 200, {"errors": [], "warnings": []}
            case "POST", ["datasets", _, _, "info", "lfs", "objects", "batch"]:
                return 200, self._batch(json.loads(body))
            case "PUT", ["upload", oid]:
                return self._upload(oid, body)
            case "GET" | "HEAD", ["datasets", user, name, "resolve", _, *file]:
                return 200, self.repos[f"{user}/{name}"]["/".join(file)]
            case "GET", ["api", "datasets", user, name, *_] if f"{user}/{name}" not in self.repos:
                return 404, {"error": "no such repository", "code": "RepoNotFound"}
            case _, ["api", "datasets", user, name, *rest] if f"{user}/{name}" in self.repos:
                return self._repo(f"{user}/{name}", rest, body)
        return 404, {"error": f"{method} {path}"}

    def _repo(self, repo: str, rest: list[str], body: bytes) -> tuple[int, Any]:
        match rest:
            case [] | ["revision", _]:
                files = [{"rfilename": name} for name in self.repos[repo]]
                return 200, {"id": repo, "sha": "0" * 40, "private": self.private[repo], "siblings": files}
            case ["tree", *_]:
                return 200, self._tree(repo)
            case ["preupload", _]:
                return 200, self._preupload(repo, json.loads(body))
            case ["commit", _]:
                return self._commit(repo, body)
        return 404, {"error": "/".join(rest)}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        repo = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        assert asked["type"] == "dataset"
        answer = {"url": f"{self.url}/datasets/{repo}"}
        if repo in self.repos:
            return 409, answer
        self.repos[repo], self.private[repo] = {}, asked.get("private") or asked.get("visibility") == "private"
        return 200, answer

    def _tree(self, repo: str) -> list[dict[str, Any]]:
        def one(name: str, content: bytes) -> dict[str, Any]:
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            file = {"type": "file", "path": name, "size": len(content), "oid": git}
            large = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            return {**file, "lfs": large} if _is_large(name) else file

        return [one(name, content) for name, content in sorted(self.repos[repo].items())]

    def _preupload(self, repo: str, asked: dict[str, Any]) -> dict[str, Any]:
        def mode(path: str) -> str:
            return "lfs" if _is_large(path) else "regular"

        return {
            "files": [
                {
                    "path": f["path"],
                    "uploadMode": mode(f["path"]),
                    "shouldIgnore": False,
                    "oid": self._oid(repo, f["path"], mode(f["path"])),
                }
                for f in asked["files"]
            ]
        }

    def _oid(self, repo: str, path: str, mode: str) -> str | None:
        """The hash of a file that is there, as the Hub answers, so that an equal one is not committed again."""
        content = self.repos[repo].get(path)
        if content is None:
            return None
        if mode == "lfs":
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        def one(item: dict[str, Any]) -> dict[str, Any]:
            there = item["oid"] in self.blobs
            actions = {} if there else {"actions": {"upload": {"href": f"{self.url}/upload/{item['oid']}"}}}
            return {"oid": item["oid"], "size": item["size"], **actions}

        return {"transfer": "basic", "objects": [one(item) for item in asked["objects"]]}

    def _upload(self, oid: str, body: bytes) -> tuple[int, Any]:
        if self.refuse_upload_after is not None and len(self.uploads) >= self.refuse_upload_after:
            return 400, {"error": "no more"}
        assert hashlib.sha256(body).hexdigest() == oid
        self.blobs[oid] = body
        self.uploads.append(oid)
        return 200, {}

    def _commit(self, repo: str, body: bytes) -> tuple[int, Any]:
        done = []
        for line in body.splitlines():
            operation = json.loads(line)
            key, value = operation["key"], operation["value"]
            if key == "file":
                self.repos[repo][value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                self.repos[repo][value["path"]] = self.blobs[value["oid"]]
            elif key == "deletedFile":
                del self.repos[repo][value["path"]]
            done.append(f"{key} {value.get('path', '')}".strip())
        self.commits.append(done)
        url = f"{self.url}/datasets/{repo}/commit/{len(self.commits):040x}"
        return 200, {"success": True, "commitOid": f"{len(self.commits):040x}", "commitUrl": url}


def _is_large(path: str) -> bool:
    return path.endswith((".parquet", ".png"))


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.command != "PUT":
                hub.tokens.add(self.headers.get("Authorization"))
            status, value = hub.answer(self.command, self.path, body)
            answer = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            if isinstance(value, bytes):
                self.send_header("ETag", f'"{hashlib.sha1(value).hexdigest()}"')
                self.send_header("X-Repo-Commit", "0" * 40)
            elif isinstance(value, dict) and "code" in value:
                self.send_header("X-Error-Code", value["code"])
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    return Handler
