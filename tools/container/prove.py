"""Proves an image: its settings and sizes, and the server in it. Run by test.sh, as root, in a network namespace without a way out.

    python3 tools/container/prove.py IMAGE.tar [--without-costs]

--without-costs takes no times: a test that others run must not depend on how busy their machine is. Prints a line for each check; exit status 1 if one failed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import Checks
from image import Image
from sandbox import Failed, Launcher
from trial_answers import answers, page
from trial_costs import cpu_limit, start_and_memory
from trial_manners import stops_clean, touches_nothing_else

ROOT = Path(__file__).resolve().parents[2]
# In units of 10⁶ bytes; above the base image.
MOST_ABOVE_BASE, MOST_COMPRESSED, MOST_OWN_CODE = 430, 180, 40
OWN_CODE = re.compile(r"/opt/vidi/(vidi|lib/lib(torchbind|vidiimage)\.so)$")


def main() -> int:
    os.chdir(ROOT)
    checks = Checks()
    archive = Path(sys.argv[1])
    image = Image(archive)
    settings(checks, image)
    sizes(checks, image)
    with tempfile.TemporaryDirectory(prefix="vidi-image-") as folder:
        os.chmod(folder, 0o755)  # the image's user must get through
        root = Path(folder) / "root"
        image.unpack(root)
        files(checks, image, root)
        no_way_out(checks)
        launcher = Launcher(root, image.config, image.env)
        trials = [answers, page, touches_nothing_else, stops_clean]
        if "--without-costs" not in sys.argv[2:]:
            trials += [start_and_memory, cpu_limit]
        for trial in trials:
            try:
                trial(checks, launcher)
            except (Failed, OSError, subprocess.SubprocessError) as error:
                checks.check(False, trial.__name__.replace("_", " "), error)
        shutil.rmtree(launcher.logs)
    left_out = f", {len(checks.left_out)} not tested ({'; '.join(checks.left_out)})" if checks.left_out else ""
    print(f"container: {checks.passed} checks good, {len(checks.failed)} failed{left_out}")
    for what in checks.failed:
        print(f"  failed: {what}")
    return 1 if checks.failed or (len(checks.left_out) > checks.excused and os.environ.get("CI")) else 0


def settings(checks: Checks, image: Image) -> None:
    config, env = image.config, image.env
    user = config.get("User", "")
    checks.check(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) is not None, "its user is a number, and not root's", user)
    checks.check(config["Entrypoint"] == ["/opt/vidi/vidi"] and config["Cmd"] == ["serve"], "it starts vidi itself, no shell", config["Entrypoint"] + config["Cmd"])
    health = (config.get("Healthcheck") or {}).get("Test")
    checks.check(health == ["CMD", "/opt/vidi/vidi", "health"], "its health check is `vidi health`", health)
    ports = sorted(config.get("ExposedPorts") or {})
    checks.check(ports == ["5000/tcp", "5001/tcp"], "its ports", " ".join(ports))
    expected = {"PATH", "VIDI_ADDR", "VIDI_ADMIN_ADDR", "VIDI_MODELS"}
    checks.check(set(env) == expected, "its environment has nothing of the machine that built it", " ".join(sorted(env)))
    labels = config.get("Labels") or {}
    wanted = [f"org.opencontainers.image.{name}" for name in ("title", "description", "licenses", "source", "version", "base.name")]
    checks.check(all(labels.get(name) for name in wanted), "its labels", labels.get("org.opencontainers.image.version"))


def sizes(checks: Checks, image: Image) -> None:
    layers = image.own_layers
    mb = 1e6
    print(f"\n      layer, above {(image.config.get('Labels') or {}).get('org.opencontainers.image.base.name')}{'MB':>11}{'gzip':>9}")
    for layer in layers:
        name = f"{len(layer.paths)} in {os.path.commonpath(layer.paths)}" if len(layer.paths) > 1 else layer.paths[0]
        print(f"      {name:<60}{layer.uncompressed / mb:>9.1f}{layer.compressed / mb:>9.1f}")
    whole, packed = sum(layer.uncompressed for layer in layers) / mb, sum(layer.compressed for layer in layers) / mb
    print(f"      {'together':<60}{whole:>9.1f}{packed:>9.1f}\n")
    checks.check(whole <= MOST_ABOVE_BASE, f"at most {MOST_ABOVE_BASE} MB above the base image", f"{whole:.1f}")
    checks.check(packed <= MOST_COMPRESSED, f"at most {MOST_COMPRESSED} MB of that compressed", f"{packed:.1f}")


def files(checks: Checks, image: Image, root: Path) -> None:
    """What the layers above the base hold: nothing for anybody but root to change, nothing that raises privileges."""
    paths = [path for layer in image.own_layers for path in layer.paths]
    outside = [path for path in paths if not path.startswith("/opt/vidi/")]
    checks.check(not outside, "all its files are in /opt/vidi", " ".join(outside[:3]) or len(paths))
    own = sum((root / path[1:]).stat().st_size for path in paths if OWN_CODE.match(path)) / 1e6
    checks.check(0 < own <= MOST_OWN_CODE, f"vidi's own code is at most {MOST_OWN_CODE} MB", f"{own:.1f}")
    bad = []
    for path in ["/opt/vidi", "/models", *paths]:
        status = (root / path[1:]).lstat()
        if status.st_uid != 0 or status.st_gid != 0 or status.st_mode & 0o6022:
            bad.append(path)
    checks.check(not bad, "they are root's, and for nobody else to change", " ".join(bad[:3]))
    licences = root / "opt/vidi/licences"
    names = {path.name for path in licences.rglob("*.txt")}
    wanted = {"pytorch.txt", "gpl-3.txt", "gcc-runtime-exception.txt", "libjpeg-turbo.txt", "zlib1g.txt", "go.txt"}
    checks.check(wanted <= names, "the licences of what is in it are in it", f"{len(names)} texts")


def no_way_out(checks: Checks) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout.split("\n")
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout.strip()
    names = [line.split()[0] for line in links if line.strip()]
    checks.check(names == ["lo"] and not routes, "from here on there is no network but this machine's own", " ".join(names))


if __name__ == "__main__":
    sys.exit(main())
