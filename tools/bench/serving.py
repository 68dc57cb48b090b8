"""The HTTP part: every server answers a short slice of every cell, in turns, in several rounds."""

import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import load
import results
from load import Cell, Slice
from process import Running
from servers import Server

CELLS = tuple(Cell(pictures, connections) for pictures in ("small", "typical", "12 MP") for connections in (1, 16))


@dataclass(frozen=True)
class Lengths:
    """Large pictures take a tenth of a second and more, so their slices are longer."""

    usual: Slice
    large: Slice

    def of(self, cell: Cell) -> Slice:
        return self.large if cell.pictures == "12 MP" else self.usual


FULL = Lengths(usual=Slice(0.8, 2.1, 3), large=Slice(1.8, 3.1, 5))
# Enough to see every server at work.
QUICK_CELLS = tuple(cell for cell in CELLS if cell.connections == 16 or cell.pictures == "small")
QUICK = Lengths(usual=Slice(0.5, 1.4, 2), large=Slice(0.8, 2.1, 3))


def measure(servers: list[Server], cells: list[Cell], rounds: int, lengths: Lengths, pictures: dict[str, Path], logs: Path) -> dict:
    found = {server.name: results.empty_server(server) for server in servers}
    logs.mkdir(parents=True, exist_ok=True)
    small = pictures["small"].read_text().splitlines()[0]
    for n in range(rounds):
        one_round(servers, cells, n, rounds, lengths, pictures, logs, Path(small).read_bytes(), found)
    return found


def one_round(servers, cells, n, rounds, lengths, pictures, logs, picture, found) -> None:
    """Starts all servers, gives each its turn in each cell, and stops them: so start-up is measured once a round as well."""
    order = random.Random(n)
    # Another one begins each time, so that no server always follows the same neighbour's heat.
    turn = order.sample(servers, len(servers))
    running: list[Running] = []
    try:
        for server in turn:
            one = Running(server, logs, picture)
            running.append(one)
            found[server.name]["start_seconds"].append(one.start_seconds)
            found[server.name]["names"] = [one.ask(Path(path).read_bytes()) for path in pictures["typical"].read_text().splitlines()]
            warm(one, cells, pictures)
            found[server.name]["warm_megabytes"].append(one.megabytes())
            one.pause()
        for number, cell in enumerate(order.sample(cells, len(cells))):
            progress(f"round {n + 1} of {rounds}, cell {number + 1} of {len(cells)}: {cell.pictures}, {cell.connections} connections")
            for one in order.sample(running, len(running)):
                one.resume()
                load.warm(one, Path(pictures[cell.pictures]))
                outcome = load.run(one, cell, pictures[cell.pictures], lengths.of(cell))
                one.drain()
                one.pause()
                results.add(found[one.server.name]["cells"], cell.key, outcome)
                if outcome.problem:
                    progress(f"  {one.server.name}: does not count: {outcome.problem}")
        for one in running:
            one.resume()
            found[one.server.name]["loaded_megabytes"].append(one.megabytes())
            one.pause()
    finally:
        for one in running:
            one.stop()


def warm(one: Running, cells: list[Cell], pictures: dict[str, Path]) -> None:
    """A second of every load that will come: batches of every size, pools at their full size. And one of none, for what a server does when
    it has time: vidi compares its modules then."""
    for connections in sorted({cell.connections for cell in cells}):
        load.run(one, Cell("small", connections), pictures["small"], Slice(0.1, 0.8, 1))
    one.drain()
    time.sleep(1)


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
