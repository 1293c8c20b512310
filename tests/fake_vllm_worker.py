"""Speaks the protocol of the vLLM process without vLLM: what a job's first token says decides what comes of it."""

import contextlib
import os
import sys
import time
from multiprocessing.connection import Connection

from factory.engines.vllm_worker import ABORT, DONE, FAILED, FATAL, READY, STOP, JobOutcome


def main():
    connection = Connection(int(sys.argv[1]))
    arguments, _lora, seeds = connection.recv()
    behaviour = arguments.get("behaviour")
    if behaviour == "fatal":
        connection.send((FATAL, "ValueError: no such dtype"))
        return
    if behaviour == "dies":
        sys.stderr.write("something odd\nSegmentation fault, as it were\n")
        sys.stderr.flush()
        os._exit(139)
    connection.send((READY, arguments.get("max_model_len", 300)))
    with contextlib.suppress(EOFError):
        serve(connection, behaviour, seeds)


def serve(connection, behaviour, seeds):
    aborted = 0
    while True:
        order, jobs = connection.recv()
        if order == STOP:
            if behaviour == "stubborn":
                time.sleep(60)
            return
        if order == ABORT:
            aborted += 1
            continue
        for count, job in enumerate(reversed(jobs)):
            if behaviour == "dies later" and count == 1:
                os._exit(1)
            if job.max_tokens == 7:
                connection.send((FAILED, (job.name, "ValueError: seven")))
                continue
            new = [*range(40, 40 + min(job.max_tokens, 3) - 1), job.stop[0] if job.stop else 41]
            scores = None if job.score_from is None else [-float(token) for token in job.ids[job.score_from :]]
            choices = {token: -float(place + 1) for place, token in enumerate(job.choices)} if job.choices else None
            connection.send((DONE, JobOutcome(job.name, new, "stop", choices, scores)))
