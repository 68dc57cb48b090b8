"""docs/benchmarks.md from a run."""

from collections.abc import Callable, Iterator

from pictures import TYPICAL
from results import Run, median, percentile_ms, quotient
from servers import FLASK
from targets import EXPECTED, TOLERANCE, checks, words

KINDS = ("small", "typical", "12 MP")
CONNECTIONS = (1, 16)
# Load average over which something else was at work. The build that may come just before leaves less.
QUIET = 1.0
KEYS = [f"{kind}/{connections}" for kind in KINDS for connections in CONNECTIONS]


def render(run: Run, others: list[str]) -> str:
    """`others` are the files of reports from other machines that lie beside this one."""
    lines = [*heading(run, others), *machine(run)]
    if run.servers:
        lines += [*rates(run), *ratios(run), *latency(run), *resources(run), *sanity(run)]
    if run.engines:
        lines += engines(run)
    if run.tensors:
        lines += tensors(run)
    if run.servers and run.engines:
        lines += room(run)
    lines += [*verdicts(run), *invalid(run)]
    return "\n".join(lines) + "\n"


def heading(run: Run, others: list[str]) -> Iterator[str]:
    plan = run.data["plan"]
    yield "# Benchmarks"
    yield ""
    yield "Made by `make bench`; [tools/README.md](../tools/README.md#bench-vidi-beside-others) says how, and how the other servers"
    yield "were tuned. All figures are from one interleaved run on one machine, which the load generator shares with the server:"
    yield "the ratios travel better than the numbers."
    if plan["quick"]:
        yield ""
        yield "**This was a quick run, with slices of a second: good for seeing that everything works, not for reading numbers.**"
    yield ""
    yield f"Medians of {plan['rounds']} rounds. In each, every server started afresh and had a slice of every cell in random order, while"
    yield "the others stood still; latencies are of all slices together. All answer the three likeliest classes of ResNet-18 from the"
    yield "same weights, for a JPEG as the request's body, over connections that stay open (but gunicorn closes them). Exact decoding is"
    yield "torchvision's preprocessing to the last bit; fast or scaled decoding lets the JPEG decoder shrink the picture. Small: 376×263."
    yield "Typical: twelve photographs from 320 pixels to 2 megapixels. 12 MP: 4032×3024."
    yield ""
    if others:
        yield "Other machines: " + ", ".join(f"[{name}]({name})" for name in others) + "."
        yield ""


def machine(run: Run) -> Iterator[str]:
    facts = run.data["machine"]
    yield f"- Machine: {facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB; {', '.join(facts['flags']) or 'no vector flags'}"
    if not run.bf16:
        yield "- It has no instructions for bf16, so nothing is measured in it: what would run in bf16 elsewhere runs in fp32. int8 gains little."
    elif not facts["amx"]:
        yield "- It has no AMX: bf16 and int8 gain far less here than on a CPU that has."
    if facts["load_before"] > QUIET:
        yield f"- **The machine was busy before the run (load {facts['load_before']:.1f}): these figures are worth little.**"
    yield from (f"- {line}" for line in run.data["versions"])
    yield ""


def rates(run: Run) -> Iterator[str]:
    yield from section("Requests per second", "http.svg")
    yield from by_cell(run, lambda name, key: number(run.rate(name, key)))


def ratios(run: Run) -> Iterator[str]:
    if FLASK in run.servers:
        yield from section("Times the article's Flask")
        yield from by_cell(run, lambda name, key: number(run.rate_ratio(name, FLASK, key), 2))
    yield from section("vidi beside the best peer of its class")
    yield "The class is precision and decoding; the peer is the fastest in that cell."
    yield ""
    yield from by_cell(run, lambda name, key: best(run, name, key), ours=True)


def best(run: Run, name: str, key: str) -> str:
    server = run.servers[name]
    peer = run.best_peer(key, precision=server["precision"], decode=server["decode"])
    return f"{number(run.rate_ratio(name, peer, key), 2)} × {run.servers[peer]['title']}" if peer and run.rate(name, key) else "–"


def latency(run: Run) -> Iterator[str]:
    yield from section("Latency, milliseconds: p50 / p95 / p99")
    yield from by_cell(run, lambda name, key: percentiles(run, name, key))


def percentiles(run: Run, name: str, key: str) -> str:
    cell = run.cell(name, key)
    return " / ".join(number(percentile_ms(cell["latency_us"], share)) for share in (0.5, 0.95, 0.99)) if cell else "–"


def resources(run: Run) -> Iterator[str]:
    yield from section("CPU, memory, start")
    yield "CPU milliseconds per answer are the server's, all its processes; memory is the proportional set size of all its processes,"
    yield "warm and at the end of a round; start is from the command to the first good answer, files in the page cache. Names as Flask:"
    yield f"on how many of the {len(TYPICAL)} typical pictures the first name is Flask's. With these random weights many pictures have two"
    yield "classes almost alike, so anything but exact fp32 misses some."
    yield ""
    rows = []
    for name, server in ordered(run):
        cpu = [number(run.cpu(name, f"{kind}/16")) for kind in KINDS]
        memory = [number(median(server[key])) for key in ("warm_megabytes", "loaded_megabytes")]
        same = run.same_names(name, FLASK)
        rows.append([server["title"], *cpu, *memory, number(median(server["start_seconds"]), 2), "–" if same is None else str(same)])
    header = ["server", *(f"CPU ms, {kind}, 16" for kind in KINDS), "MB warm", "MB after", "start, s", "names as Flask"]
    yield from table(header, rows)


def sanity(run: Run) -> Iterator[str]:
    """Whether the peers are as fast beside Flask as they are known to be."""
    amx = run.data["machine"]["amx"]
    rows = []
    for name, expected in EXPECTED.items():
        if name not in run.servers or FLASK not in run.servers:
            continue
        for key, want in expected.items():
            got = run.rate_ratio(name, FLASK, key)
            comparable = run.servers[name]["precision"] == "fp32" or amx
            verdict = "not comparable without AMX" if not comparable else "–" if got is None else judge(got / want)
            rows.append([run.servers[name]["title"], words(key), number(want, 1), number(got, 2), verdict])
    if rows:
        yield from section("Are the peers as fast as they should be?")
        yield "Times Flask, in an earlier comparison on two cores with AMX and here. The typical pictures were smaller then."
        yield ""
        yield from table(["peer", "cell", "then", "here", f"within {TOLERANCE:.0%}"], rows)


def judge(relation: float) -> str:
    if relation < 1 - TOLERANCE:
        return "**slower**"
    return "faster" if relation > 1 + TOLERANCE else "yes"


def engines(run: Run) -> Iterator[str]:
    yield from section("The engines alone, milliseconds a picture", "engines.svg")
    names = list(dict.fromkeys(key.rpartition("/")[0] for key in run.engines))
    yield from table(["engine", "1 thread", "2 threads"], ([engine_title(name), *(number(run.engine(name, n), 2) for n in (1, 2))] for name in names))


def engine_title(name: str) -> str:
    engine, _, precision = name.partition(" ")
    return f"{ {'ort': 'ONNX Runtime', 'openvino': 'OpenVINO'}.get(engine, engine)} {precision}"


def tensors(run: Run) -> Iterator[str]:
    yield from section("From a JPEG's bytes to the input tensor, one core, milliseconds", "tensors.svg")
    rows = []
    for picture in dict.fromkeys(key.partition("/")[2] for key in run.tensors):
        times = [run.tensor(way, picture) for way in ("vidi exact", "python exact", "vidi fast", "python draft")]
        exact, fast = quotient(times[1], times[0]), quotient(times[3], times[2])
        rows.append([picture, *(number(time, 2) for time in times), number(exact, 2), number(fast, 2)])
    header = ["JPEG", "vidi exact", "Pillow + torchvision", "vidi fast", "Pillow draft + torchvision", "times as fast, exact", "fast"]
    yield from table(header, rows)


def room(run: Run) -> Iterator[str]:
    """Where vidi's CPU time goes, and how far ahead of the best peer a server could be that spent none outside the network."""
    yield from section("Where the time goes")
    yield "CPU milliseconds per answer at 16 connections, of vidi and of the peer of the same class that needs least, and what of vidi's"
    yield "is the network alone (one thread). The last column bounds every ratio above: it is how many times"
    yield "as many answers as the peer a server with that network could give if it spent nothing at all on the rest."
    yield ""

    def work(name: str, kind: str, facts: dict) -> tuple[float | None, float | None]:
        return run.cpu(name, f"{kind}/16"), run.least_cpu(f"{kind}/16", **facts)

    def wait(name: str, kind: str, facts: dict) -> tuple[float | None, float | None]:
        best = run.best_peer(f"{kind}/1", **facts)
        return quotient(1000, run.rate(name, f"{kind}/1")), quotient(1000, run.rate(best, f"{kind}/1")) if best else None

    yield from bounds(run, 1, work)
    yield "The same for a single connection, where all cores are the one picture's: milliseconds from request to answer, and of the"
    yield "network on two threads."
    yield ""
    yield from bounds(run, 2, wait)
    flask = run.cpu(FLASK, "typical/16")
    most = {precision: quotient(flask, run.engine(f"vidi {precision}", 1)) for precision in ("fp32", "bf16", "int8")}
    yield f"Beside the article's Flask ({number(flask, 1)} ms for a typical picture) that bound is " + ", ".join(
        f"{number(times, 2)} × in {precision}" for precision, times in most.items() if times
    ) + "."
    yield ""


def bounds(run: Run, threads: int, figures: Callable) -> Iterator[str]:
    """A table with a row per server of ours and kind of picture. `figures` gives, for a server's name, the kind and the facts of its
    class, its milliseconds and the best peer's; the network's are those on that many threads."""
    rows = []
    for name, server in ordered(run):
        if not server["ours"]:
            continue
        network = run.engine(f"vidi {server['precision']}", threads)
        facts = {fact: server[fact] for fact in ("precision", "decode")}
        for kind in KINDS:
            ours, peer = figures(name, kind, facts)
            times = [number(value, 1) for value in (ours, network, peer)]
            rows.append([server["title"], kind, *times, *(number(quotient(peer, value), 2) for value in (ours, network))])
    yield from table(["server", "pictures", "vidi, ms", "of it network", "best peer, ms", "peer / vidi", "most possible"], rows)


def verdicts(run: Run) -> Iterator[str]:
    yield from section("Targets")
    yield "Undisturbed is what the machine gives while neighbours leave it alone: the ratio of the latencies that the soonest hundredth of the"
    yield "answers stay within, for a single connection and pictures that are all alike, or of the engines' best turns. On a virtual machine the"
    yield "medians may be the neighbours' doing; on a machine of one's own both are alike. Each of the two columns has its own best peer."
    yield ""
    rows = []
    for check in checks(run):
        bound = f"{'≤' if check.at_most else '≥'} {check.bound:g}"
        verdict = check.verdict + (f" ({check.note})" if check.note else "")
        rows.append([check.claim, bound, number(check.value, 2), number(check.undisturbed, 2), verdict])
    yield from table(["what", "target", "here", "undisturbed", ""], rows)


def invalid(run: Run) -> Iterator[str]:
    found = [(name, key, run.problems(name, key)) for name in run.servers for key in run.servers[name]["cells"]]
    found = [row for row in found if row[2]]
    if found:
        yield from section("Cells that do not count")
        yield from (f"- {run.servers[name]['title']}, {words(key)}: {problems[0]}" for name, key, problems in found)
        yield ""


def by_cell(run: Run, text: Callable[[str, str], str], ours: bool = False) -> Iterator[str]:
    """A table with a row per server, or only per server of ours, and a column per cell."""
    servers = [(name, server["title"]) for name, server in ordered(run) if server["ours"] or not ours]
    yield from table(["server", *map(words, KEYS)], ([title, *(text(name, key) for key in KEYS)] for name, title in servers))


def ordered(run: Run) -> list[tuple[str, dict]]:
    return sorted(run.servers.items(), key=lambda item: not item[1]["ours"])


def section(title: str, plot: str = "") -> Iterator[str]:
    yield f"## {title}"
    yield ""
    if plot:
        yield f"![{title}](benchmarks/{plot})"
        yield ""


def table(header: list[str], rows) -> Iterator[str]:
    yield row_of(header)
    yield row_of(["---"] + ["--:"] * (len(header) - 1))
    yield from map(row_of, rows)
    yield ""


def row_of(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def number(value: float | None, digits: int | None = None) -> str:
    """Three significant digits, unless told."""
    if value is None:
        return "–"
    if digits is None:
        digits = max(0, 2 - len(str(int(value))) + 1)
    return f"{value:.{digits}f}"
