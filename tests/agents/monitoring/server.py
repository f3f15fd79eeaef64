"""A real TensorBoard, asked over HTTP."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

Ask = Callable[..., Any]

_OPENER = build_opener(ProxyHandler({}))
_PATIENCE = 60


@contextmanager
def tensorboard(folder: Path, *, load_fast: bool) -> Iterator[Ask]:
    """Start a server on a folder, and give what asks one of its plugins, such as ``ask("text/tags")``, for JSON."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", "127.0.0.1", "--port", "0"]
    command += ["--load_fast", str(load_fast).lower(), "--reload_interval", "1"]
    log = folder.parent / f"{folder.name}-tensorboard-{load_fast}-{os.getpid()}.log"
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:
        try:
            address = wait_for(lambda: re.search(r"http://127.0.0.1:\d+/", log.read_text()))[0]

            def ask(path: str, **query: str) -> Any:
                url = f"{address}data/{path}" + (f"?{urlencode(query)}" if query else "")
                with _OPENER.open(url, timeout=_PATIENCE) as answer:
                    content = answer.read()
                return json.loads(content) if "json" in answer.headers["Content-Type"] else content

            yield ask
        finally:
            server.terminate()


def wait_for(look: Callable[[], Any]) -> Any:
    """Return the first answer that is not empty."""
    deadline = time.monotonic() + _PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "TensorBoard has not shown in time what was waited for"
        time.sleep(0.1)
    return found
