"""What is kept of a run, and the statistics that are made of it. Plain dictionaries, since they are saved as JSON."""

import statistics

from load import Outcome
from servers import Server


def empty_server(server: Server) -> dict:
    facts = {"title": server.title, "precision": server.precision, "decode": server.decode, "ours": server.ours}
    return facts | {"start_seconds": [], "warm_megabytes": [], "loaded_megabytes": [], "names": [], "cells": {}}


def add(cells: dict, key: str, outcome: Outcome) -> None:
    cell = cells.setdefault(key, {"rates": [], "cpu_ms": [], "latency_us": {}, "problems": []})
    if outcome.problem:
        cell["problems"].append(outcome.problem)
        return
    cell["rates"].append(outcome.rate)
    cell["cpu_ms"].append(outcome.cpu_ms)
    for value, count in outcome.latency_us:
        # Strings, because that is what keys are when they come back from a file.
        cell["latency_us"][str(value)] = cell["latency_us"].get(str(value), 0) + count


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def percentile_ms(histogram: dict[str, int], share: float) -> float | None:
    """The smallest latency that at least this share of all answers, of all rounds, did not exceed."""
    total, seen = sum(histogram.values()), 0
    for value, count in sorted((int(value), count) for value, count in histogram.items()):
        seen += count
        if seen >= share * total:
            return value / 1000
    return None


class Run:
    """A finished run, with the questions that the report asks of it. An answer is None where nothing valid was measured."""

    def __init__(self, data: dict):
        self.data = data
        self.servers: dict[str, dict] = data.get("servers", {})
        self.engines: dict[str, list[float]] = data.get("engines", {})
        self.tensors: dict[str, list[float]] = data.get("tensors", {})

    @property
    def bf16(self) -> bool:
        """Whether the machine has instructions for bf16; a run that does not say so is of one that has."""
        return self.data.get("machine", {}).get("bf16", True)

    def cell(self, server: str, key: str) -> dict | None:
        """A cell, if every one of its slices was good: one lost answer makes the rate of a cell doubtful."""
        cell = self.servers.get(server, {}).get("cells", {}).get(key)
        return cell if cell and cell["rates"] and not cell["problems"] else None

    def problems(self, server: str, key: str) -> list[str]:
        return self.servers.get(server, {}).get("cells", {}).get(key, {}).get("problems", [])

    def rate(self, server: str, key: str) -> float | None:
        cell = self.cell(server, key)
        return median(cell["rates"]) if cell else None

    def rate_ratio(self, server: str, other: str, key: str) -> float | None:
        """The median over the rounds of the ratio in each: what a busy minute does to both of a round cancels out."""
        one, two = self.cell(server, key), self.cell(other, key)
        if not one or not two:
            return None
        return median([a / b for a, b in zip(one["rates"], two["rates"]) if b])

    def undisturbed_ms(self, server: str, key: str) -> float | None:
        """The latency that the soonest hundredth of the answers stay within: what the machine gives while its neighbours leave it alone. Only for
        a single connection, where nobody waits for others, and pictures that are all alike."""
        kind, connections = key.split("/")
        cell = self.cell(server, key)
        return percentile_ms(cell["latency_us"], 0.01) if cell and connections == "1" and kind != "typical" else None

    def peers(self, **facts: str) -> list[str]:
        """The servers that are not ours and have these facts (precision, decode)."""
        return [name for name, server in self.servers.items() if not server["ours"] and all(server[fact] == value for fact, value in facts.items())]

    def best_peer(self, key: str, **facts: str) -> str | None:
        """The fastest of them in a cell; its name."""
        names = [name for name in self.peers(**facts) if self.rate(name, key)]
        return max(names, key=lambda name: self.rate(name, key), default=None)

    def cpu(self, server: str, key: str) -> float | None:
        """Milliseconds of CPU per answer."""
        cell = self.cell(server, key)
        return median(cell["cpu_ms"]) if cell else None

    def least_cpu(self, key: str, **facts: str) -> float | None:
        """That of the peer with these facts that needs least."""
        return min((cpu for name in self.peers(**facts) if (cpu := self.cpu(name, key))), default=None)

    def undisturbed_ratio(self, server: str, peers: list[str], key: str) -> float | None:
        """How many times as soon as the soonest peer the server answers, undisturbed."""
        best = min((ms for name in peers if (ms := self.undisturbed_ms(name, key))), default=None)
        return quotient(best, self.undisturbed_ms(server, key))

    def same_names(self, server: str, other: str) -> int | None:
        """How many of the typical pictures both give the same likeliest name."""
        one, two = (self.servers.get(name, {}).get("names", []) for name in (server, other))
        return sum(a == b for a, b in zip(one, two)) if one and two else None

    def engine(self, name: str, threads: int) -> float | None:
        return median(self.engines.get(f"{name}/{threads}", []))

    def engine_undisturbed(self, name: str, threads: int) -> float | None:
        """The best of its turns."""
        return min(self.engines.get(f"{name}/{threads}", []), default=None)

    def tensor(self, name: str, picture: str) -> float | None:
        return median(self.tensors.get(f"{name}/{picture}", []))


def quotient(a: float | None, b: float | None) -> float | None:
    return a / b if a and b else None
