"""A process that holds the processes and the folder of `SupervisedProcesses`, and outlives its owner to remove them.

Run by path, with the standard library alone: `supervisor.py OWNER_PID PARENT_FOLDER PREFIX`. Its first line on stdout is
the folder that it made. Then every line on stdin is a JSON command, answered by a JSON line:

    {"do": "start", "name": NAME, "command": [PROGRAM, ...]}   unless it runs; its output goes to FOLDER/NAME.log
    {"do": "kill", "name": NAME}                               SIGKILL, and waits for the end
    {"do": "status", "name": NAME}                             only the answer

The answer is {"exit_code": CODE or null while it runs, "error": TEXT or null}. {"do": "end"}, the end of stdin, SIGTERM,
or the death of the owner in any way ends everything.
"""

import ctypes
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # prctl(2)
OWNER_CHECK_SECONDS = 1.0


def die_with_the_supervisor() -> None:
    """For between fork and exec: SIGKILL when the forking thread ends, which is the supervisor's only one."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def allow_all_open_files() -> None:
    """Raise the limit of open files as far as the user may: MongoDB has one open for each collection and each index."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Supervisor:
    """The processes, by name, and their folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do one command."""
        name = command["name"]
        process = self._processes.get(name)
        error = None
        if command["do"] == "start" and (process is None or process.poll() is not None):
            try:
                self._processes[name] = self._start(name, command["command"])
            except OSError as problem:
                error = str(problem)
        elif command["do"] == "kill" and process is not None:
            process.kill()
            process.wait()
        process = self._processes.get(name)
        return {"exit_code": process and process.poll(), "error": error}

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the owner's command, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                preexec_fn=die_with_the_supervisor,  # noqa: PLW1509 - there are no threads here
            )

    def end(self) -> None:
        """Kill what runs and remove the folder."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def serve(supervisor: Supervisor, owner: int) -> None:
    """Answer commands until the end is asked for, stdin ends, or the owner is gone.

    A fork of the owner may hold the other end of stdin open after the owner's death, so the parent's id is watched too.
    """
    pending = b""
    while os.getppid() == owner:
        if not select.select([0], [], [], OWNER_CHECK_SECONDS)[0]:
            continue
        received = os.read(0, 65536)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if command["do"] == "end":
                return
            os.write(1, json.dumps(supervisor.answer(command)).encode() + b"\n")


def main(owner: int, parent_folder: str, prefix: str) -> None:
    """Serve one owner, and clean up whatever ends it."""
    # Ctrl-C is for the owner, which then ends this process by closing stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    allow_all_open_files()
    folder = tempfile.mkdtemp(prefix=prefix, dir=parent_folder)
    supervisor = Supervisor(Path(folder))
    try:
        os.write(1, folder.encode() + b"\n")
        serve(supervisor, owner)
    except BrokenPipeError:
        return  # The owner died before it read the answer.
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # It would end the clean-up, too.
        supervisor.end()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
