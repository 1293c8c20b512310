"""Runs a command for as long as whoever started this is there: `python parent_watch.py FD COMMAND...`.

FD is the reading end of a pipe whose other end the starter holds and never writes to. When the starter is gone, however
it ended, the pipe ends, and the whole process group with it: a server does not outlive a run that was killed.
"""

import os
import signal
import subprocess
import sys
import threading
from functools import partial


def main() -> None:
    """Start the command and end as it does; 127 where there is no such program."""
    pipe, command = int(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which goes to the whole group: the command ends first
    try:
        # An ignored signal stays ignored across exec, so that the command's handling is set back before it starts.
        process = subprocess.Popen(command, preexec_fn=partial(signal.signal, signal.SIGTERM, signal.SIG_DFL))
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        sys.exit(127)
    threading.Thread(target=_end_with_starter, args=(pipe,), daemon=True).start()
    code = process.wait()
    os.killpg(0, signal.SIGTERM)  # what it left behind
    # As shells tell it: a process ended by signal N exits with 128 + N.
    sys.exit(code if code >= 0 else 128 - code)


def _end_with_starter(pipe: int) -> None:
    # Blocks until the end of the pipe, since nothing is ever written: no polling, and no process id that may be used
    # again.
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
