"""The plots of docs/benchmarks.md: SVG without a background, in greys and colours that can be read on white and on black."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

from report import KEYS, engine_title, ordered  # noqa: E402
from results import Run  # noqa: E402
from targets import words  # noqa: E402

INK = "#7d8590"
OURS, PEER = "#2f81f7", "#a8744f"
STYLE = {
    "svg.fonttype": "none",  # letters as text: a tenth of the size, and searchable
    "svg.hashsalt": "vidi",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def write(run: Run, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        if run.servers:
            save(http(run), folder / "http.svg")
        if run.engines:
            save(engines(run), folder / "engines.svg")
        if run.tensors:
            save(tensors(run), folder / "tensors.svg")


def http(run: Run) -> plt.Figure:
    servers = list(reversed(ordered(run)))
    figure, axes = plt.subplots(3, 2, figsize=(9, 0.75 + 0.66 * len(servers)), sharey=True, layout="constrained", squeeze=False)
    for axis, key in zip(axes.flat, KEYS):
        values = [run.rate(name, key) or 0 for name, _ in servers]
        bars(axis, [server["title"] for _, server in servers], values, [server["ours"] for _, server in servers])
        axis.set_title(words(key), fontsize=9, color=INK)
    figure.supxlabel("requests per second", fontsize=9, color=INK)
    return figure


def engines(run: Run) -> plt.Figure:
    names = list(reversed(dict.fromkeys(key.rpartition("/")[0] for key in run.engines)))
    figure, axes = plt.subplots(1, 2, figsize=(9, 0.8 + 0.26 * len(names)), sharey=True, layout="constrained")
    for axis, threads in zip(axes, (1, 2)):
        times = [run.engine(name, threads) or 0 for name in names]
        bars(axis, [engine_title(name) for name in names], times, [name.startswith("vidi") for name in names])
        axis.set_title(f"{threads} thread{'s' * (threads > 1)}", fontsize=9, color=INK)
    figure.supxlabel("milliseconds a picture (shorter is better)", fontsize=9, color=INK)
    return figure


def tensors(run: Run) -> plt.Figure:
    pictures = list(dict.fromkeys(key.partition("/")[2] for key in run.tensors))
    ways = {"python draft": "Pillow draft", "vidi fast": "vidi fast", "python exact": "Pillow + torchvision", "vidi exact": "vidi exact"}
    figure, axes = plt.subplots(1, len(pictures), figsize=(9, 1.9), sharey=True, layout="constrained", squeeze=False)
    for axis, picture in zip(axes.flat, pictures):
        bars(axis, list(ways.values()), [run.tensor(way, picture) or 0 for way in ways], [way.startswith("vidi") for way in ways])
        axis.set_title(picture, fontsize=9, color=INK)
    figure.supxlabel("milliseconds on one core (shorter is better)", fontsize=9, color=INK)
    return figure


def bars(axis: plt.Axes, titles: list[str], values: list[float], ours: list[bool]) -> None:
    drawn = axis.barh(titles, values, color=[OURS if one else PEER for one in ours], height=0.7)
    axis.bar_label(drawn, [f"{value:.3g}" if value else "not measured" for value in values], padding=3, color=INK, fontsize=8)
    axis.margins(x=0.18)
    axis.set_xlim(left=0)
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_visible(False)  # the bars carry their values
    axis.spines["bottom"].set_visible(False)


def save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    # Matplotlib leaves blanks at the ends of lines, which git complains of.
    path.write_text("\n".join(line.rstrip() for line in path.read_text(encoding="utf-8").splitlines()) + "\n", encoding="utf-8")
