"""Owns an S3 server for tests: moto's, over HTTP, honest or a look-alike that ignores conditions."""

from __future__ import annotations

import threading
from typing import Any, Literal

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


class Bucket:
    """A server with one bucket. It answers one request at a time, because moto's check of a condition and its
    write are no atomic step."""

    def __init__(self, *, honest: bool) -> None:
        app = DomainDispatcherApplication(create_backend_app)
        #: The status that each of the next requests is answered with, before or after it is done; or 0.
        self.failing: list[tuple[int, Literal["before", "after"]]] = []

        def answer(environ: dict[str, Any], start: Any) -> Any:
            if not honest:
                environ.pop("HTTP_IF_NONE_MATCH", None)
            status, when = self.failing.pop(0) if self.failing else (0, "before")
            if status and when == "after":
                b"".join(app(environ, lambda *_: None))
            if status:
                start(f"{status} Injected", [("Content-Length", "0")])
                return [b""]
            return app(environ, start)

        self._server = make_server("127.0.0.1", 0, answer)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.client = boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1")

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
