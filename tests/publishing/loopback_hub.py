"""A server on this machine that speaks as much of the Hub as publishing and fetching take.

It keeps repositories in memory, one commit a revision, and can be told to fail: a status for
the next requests whose address matches, or a connection that is cut within an upload.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "t" * 34


@dataclass
class Fault:
    """What to do wrong, and how often.

    Attributes:
        address: Regular expression of method and path.
        status: What to answer; 0 cuts the connection.
        times: Requests that are treated so.
        headers: That go along.
    """

    address: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


class LoopbackHub:
    """The server and what it has.

    Attributes:
        commits: Files by name, by ``user/name`` and commit; the last is the newest.
        blobs: Large files by SHA-256.
        faults: What it is to do wrong.
        seen: Method, path and token of every request.
        uploads: SHA-256 of each large file that was sent, in order.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.blobs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str, str]] = []
        self.uploads: list[str] = []
        hub = self

        class Handler(_Handler):
            owner = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def newest(self, name: str) -> str:
        return list(self.commits[name])[-1]


class _Handler(BaseHTTPRequestHandler):
    owner: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        path = unquote(urlsplit(self.path).path)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.owner.seen.append((method, path, token))
        for fault in self.owner.faults:
            if fault.times and re.search(fault.address, f"{method} {path}"):
                fault.times -= 1
                if fault.status == 0:
                    self.rfile.read(100)
                    self.connection.close()
                    self.close_connection = True
                    return
                self._read()
                self._send(fault.status, {"error": "told to fail"}, fault.headers)
                return
        body = self._read()
        if method in ("POST", "PUT") and not path.startswith("/blobs/") and token != TOKEN:
            self._send(401, {"error": "Invalid credentials"})
            return
        for pattern, act in (
            (r"/api/repos/create", self._create),
            (r"/api/validate-yaml", self._validate),
            (r"/api/models/([^/]+/[^/]+)/preupload/(.+)", self._plan_upload),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self._list_blobs),
            (r"/blobs/([0-9a-f]{64})", self._take_blob),
            (r"/api/models/([^/]+/[^/]+)/commit/(.+)", self._commit),
            (r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self._describe),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._give),
        ):
            found = re.fullmatch(pattern, path)
            if found:
                act(body, *found.groups())
                return
        self._send(404, {"error": f"no such call: {path}"})

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(
        self, status: int, content: object = None, headers: dict[str, str] | None = None
    ) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _validate(self, body: bytes) -> None:
        errors = [] if json.loads(body)["content"].startswith("---\n") else [{"message": "none"}]
        self._send(200, {"errors": errors, "warnings": []})

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if name in self.owner.commits:
            self._send(409, {"error": "You already created this model repo", "url": name})
            return
        first = {".gitattributes": b"* text=auto\n"}
        self.owner.commits[name] = {_name_commit(first): first}
        self._send(200, {"url": f"{self.owner.address}/{name}", "name": name})

    def _plan_upload(self, body: bytes, name: str, revision: str) -> None:
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith((".keras", ".npz")) else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(body)["files"]
        ]
        self._send(200, {"files": files})

    def _list_blobs(self, body: bytes, name: str) -> None:
        objects = []
        for each in json.loads(body)["objects"]:
            answer = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.owner.blobs:
                href = f"{self.owner.address}/blobs/{each['oid']}"
                answer["actions"] = {"upload": {"href": href, "header": {}}}
            objects.append(answer)
        self._send(200, {"transfer": "basic", "objects": objects})

    def _take_blob(self, body: bytes, digest: str) -> None:
        if hashlib.sha256(body).hexdigest() != digest:
            self._send(422, {"error": "not what was announced"})
            return
        self.owner.blobs[digest] = body
        self.owner.uploads.append(digest)
        self._send(200, {})

    def _commit(self, body: bytes, name: str, revision: str) -> None:
        files = dict(self.owner.commits[name][self.owner.newest(name)])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.owner.blobs[value["oid"]]
        commit = _name_commit(files)
        self.owner.commits[name][commit] = files
        url = f"{self.owner.address}/{name}/commit/{commit}"
        self._send(200, {"success": True, "commitOid": commit, "commitUrl": url})

    def _find(self, name: str, revision: str | None) -> tuple[str, dict[str, bytes]] | None:
        commits = self.owner.commits.get(name)
        if commits is None:
            self._send(404, {"error": "no repo"}, {"X-Error-Code": "RepoNotFound"})
            return None
        commit = self.owner.newest(name) if revision in (None, "main") else str(revision)
        if commit not in commits:
            self._send(404, {"error": "no revision"}, {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit, commits[commit]

    def _describe(self, body: bytes, name: str, revision: str | None) -> None:
        found = self._find(name, revision)
        if found is not None:
            commit, files = found
            siblings = [{"rfilename": each, "size": len(files[each])} for each in sorted(files)]
            self._send(200, {"id": name, "modelId": name, "sha": commit, "siblings": siblings})

    def _give(self, body: bytes, name: str, revision: str, file: str) -> None:
        found = self._find(name, revision)
        if found is None:
            return
        commit, files = found
        if file not in files:
            self._send(404, {"error": "no file"}, {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(files[file]).hexdigest()}"'}
        self._send(200, files[file], headers)


def _name_commit(files: dict[str, bytes]) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    for name in sorted(files):
        digest.update(name.encode() + files[name])
    return digest.hexdigest()
