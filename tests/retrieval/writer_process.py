"""Writers that are there to be killed.

`python writer_process.py FOLDER` imports everything once; then each line on its input, a seed, forks a writer. A writer
changes the knowledge base for as long as it lives and says what holds: `+ id` once an addition was reported as stored,
`- id` before a removal, `clear` before all is removed. `dead` follows the last word of a killed writer.
"""

import importlib.util
import os
import random
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
DIMENSION, BATCH = 16, 8


def register_pack() -> None:
    spec = importlib.util.spec_from_file_location(
        "style_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None
    sys.modules["style_pack"] = importlib.util.module_from_spec(spec)


def vector_of(number: int) -> np.ndarray:
    row = np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)
    return row / np.linalg.norm(row)


def main(folder: Path, seed: int) -> None:
    from style_pack.retrieval.records import StyleRecord
    from style_pack.retrieval.store import StyleStore

    chance = random.Random(seed)
    store = StyleStore(folder)
    while True:
        what = chance.choices(("add", "remove", "describe", "publish", "clear"), (8, 3, 2, 4, 1))[0]
        ids = store.ids()
        if what == "add":
            numbers = [chance.randrange(2**40) for _ in range(BATCH)]
            records = [StyleRecord(f"{n:064x}", f"n{n}", "", (), "", 1, 1, {f"{n}.png": [1, n, 0]}) for n in numbers]
            store.add(records, np.stack([vector_of(n) for n in numbers]), "made@1")
            say(*(f"+ {record.id}" for record in records))
        elif what == "remove" and ids:
            gone = chance.sample(ids, min(4, len(ids)))
            say(*(f"- {id}" for id in gone))
            store.remove(gone)
        elif what == "describe" and ids:
            record = next(iter(store.records([chance.choice(ids)]).values()))
            named = StyleRecord(**{**vars(record), "caption": f"seen {chance.random()}"})
            store.replace_metadata([named])
        elif what == "publish":
            store.publish()
        elif what == "clear":
            say("clear")
            store.replace_with(store.draft(""))


def say(*lines: str) -> None:
    os.write(1, "".join(f"{line}\n" for line in lines).encode())  # one call: a kill leaves all of it or none


def serve(folder: Path) -> None:
    import chromadb  # noqa: F401 - a fork of what has imported it starts at once
    import style_pack.retrieval.store  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if not child:
            main(folder, int(line))
        say(f"pid {child}")
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    register_pack()
    serve(Path(sys.argv[1]))
