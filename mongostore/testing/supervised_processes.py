"""Processes that end with the process that started them, however it ends.

Between the two stands `supervisor.py`, a process whose only work is to notice that its owner is gone.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from mongostore.errors import ConfigurationError

SUPERVISOR = Path(__file__).with_name("supervisor.py")
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - the supervisor makes an unguessable folder inside
MEMORY_FOLDER_MINIMUM_BYTES = 2 * 1024**3
GONE = "The supervisor of the embedded MongoDB is gone, and the server with it: start a new EmbeddedMongo."


class SupervisedProcesses:
    """Named processes and a folder for them; any thread may call.

    Attributes:
        folder: for data and logs; it is removed with the processes.
    """

    def __init__(self) -> None:
        # -I -S: nothing of the environment, so that no start-up hook of a test tool runs in there.
        command = [sys.executable, "-I", "-S", str(SUPERVISOR), str(os.getpid()), _parent_folder()]
        self._supervisor = subprocess.Popen(  # noqa: S603 - our own script, no shell
            [*command, f"mongostore-{os.getpid()}-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # A Ctrl-C in the terminal must not end the server before its user.
        )
        self._commands = cast("IO[bytes]", self._supervisor.stdin)
        self._answers = cast("IO[bytes]", self._supervisor.stdout)
        self._lock = threading.Lock()
        self.folder = Path(os.fsdecode(self._read_line()))

    def start(self, name: str, command: list[str]) -> None:
        """Start a process, unless the one of this name runs.

        Raises:
            ConfigurationError: the program can't be run.
        """
        error = self._ask("start", name, command=command)["error"]
        if error:
            raise ConfigurationError(f"The embedded MongoDB can't be run: {error}.")

    def kill(self, name: str) -> None:
        """SIGKILL, and wait for the end."""
        self._ask("kill", name)

    def exit_code(self, name: str) -> int | None:
        """None while it runs; negative when a signal ended it."""
        code: int | None = self._ask("status", name)["exit_code"]
        return code

    def log(self, name: str) -> str:
        """All that it wrote to stdout and stderr."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def close(self) -> None:
        """End every process, remove the folder, and wait until that is done."""
        with suppress(BrokenPipeError):  # Where the supervisor is gone, so are the processes.
            # Closing the pipe is not enough: a fork of this process may hold it open.
            self._commands.write(b'{"do": "end"}\n')
        self._commands.close()
        self._supervisor.wait()
        self._answers.close()

    def _ask(self, do: str, name: str, **arguments: Any) -> dict[str, Any]:
        with self._lock:
            try:
                self._commands.write(json.dumps({"do": do, "name": name, **arguments}).encode() + b"\n")
            except BrokenPipeError as error:
                raise ConfigurationError(GONE) from error
            answer: dict[str, Any] = json.loads(self._read_line())
            return answer

    def _read_line(self) -> bytes:
        line = self._answers.readline()
        if not line:
            raise ConfigurationError(GONE)
        return line.rstrip(b"\n")


def _parent_folder() -> str:
    """Memory where there is room for it, since tests wait for fsync more than for anything else."""
    if os.access(MEMORY_FOLDER, os.W_OK) and shutil.disk_usage(MEMORY_FOLDER).free >= MEMORY_FOLDER_MINIMUM_BYTES:
        return str(MEMORY_FOLDER)
    return tempfile.gettempdir()
