"""Kill a writer in mid-write, again and again; print how many whole, broken and temporary files it leaves.

    python kill_writers.py FOLDER TIMES

The first line is of a writer that writes in place, the second one of the store's.

A script of its own: it forks, which a process with threads should not.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from helpers.records import EDITS, edited, key_of, picture

from augsal_transforms.files import write_file
from augsal_transforms.store.records import decode, encode
from augsal_transforms.store.store import EditStore

torch.set_num_threads(1)


def main(folder: Path, how: str, times: int) -> None:
    original = picture(size=(720, 960))
    # Noise, for a record of about 2 MB.
    record = encode(key_of(original, EDITS[0]), original, edited(original, EDITS[0], (0, 0, 720, 960)))
    store = EditStore(folder)
    chance = random.Random(0)
    for attempt in range(times):
        child = os.fork()
        if not child:
            for n in range(10**6):
                path = store.folder / "v1" / "ab" / ("ab" * 32) / f"contrast+1500-{attempt:04x}{n % 2:012x}.safetensors"
                if how == "store":
                    write_file(path, record)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(record)
        time.sleep(0.02 + 0.03 * chance.random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    whole = [decode(path.read_bytes()) is not None for path in store.records()]
    print(sum(whole), len(whole) - sum(whole), len(list(store.temporary_files())))


if __name__ == "__main__":
    for writer in ("naive", "store"):
        main(Path(sys.argv[1]) / writer, writer, int(sys.argv[2]))
