"""The benchmark's own logic: what counts, the statistics, the targets, the report. The servers are not started here."""

import contextlib
import io
import json
import unittest

import numpy as np
from PIL import Image
from torchvision import transforms

import paths  # noqa: F401  (makes the modules below importable)

import engines
import load
import pictures
import report
import results
import servers
import targets
from peers import preprocess


def outcome(rate: float, problem: str = "") -> load.Outcome:
    return load.Outcome(rate, 1000 / rate, [[int(1e6 / rate), 10]], problem)


def a_run(**rates: list[float]) -> results.Run:
    """A run of one cell, "small/16"; a server's underscore stands for a dash."""
    found = {}
    for name, values in rates.items():
        server = servers.servers("bf16")[name.replace("_", "-")]
        found[server.name] = results.empty_server(server)
        for value in values:
            results.add(found[server.name]["cells"], "small/16", outcome(value))
    machine = {"cpu": "a CPU", "cores": 2, "memory_gb": 8, "flags": ["AVX2"], "amx": False, "load_before": 0.1}
    return results.Run({"servers": found, "machine": machine, "versions": [], "plan": {"rounds": 3, "quick": False}})


class LoadTest(unittest.TestCase):
    def line(self, **values) -> str:
        base = {"good": 8, "bad": 0, "measured": 6, "lost": 0, "latency_us": [[1500, 8]], "first_bad": ""}
        return "Running 1s test\n\nRESULT " + json.dumps(base | values) + "\n"

    def test_rate_and_cpu(self):
        got = load.parse(self.line(), 2.0, 0.3)
        self.assertEqual((got.rate, got.problem), (3.0, ""))
        self.assertAlmostEqual(got.cpu_ms, 50)

    def test_what_makes_a_slice_invalid(self):
        for values in ({"bad": 1, "first_bad": "500 no"}, {"lost": 1}, {"measured": 0}):
            self.assertTrue(load.parse(self.line(**values), 2.0, 0.3).problem, values)
        self.assertIn("no result", load.parse("unable to connect", 2.0, 0.3).problem)


class StatisticsTest(unittest.TestCase):
    def test_percentiles_over_rounds(self):
        cells = {}
        for value, count in ((1000, 90), (2000, 9), (9000, 1)):
            results.add(cells, "k", load.Outcome(1, 1, [[value, count]], ""))
        histogram = json.loads(json.dumps(cells))["k"]["latency_us"]
        self.assertEqual([results.percentile_ms(histogram, share) for share in (0.5, 0.95, 0.99, 1)], [1, 2, 2, 9])
        self.assertIsNone(results.percentile_ms({}, 0.5))

    def test_ratio_is_paired(self):
        run = a_run(vidi_bf16=[10, 200, 30], flask=[5, 100, 10])
        self.assertEqual(run.rate_ratio("vidi-bf16", "flask", "small/16"), 2)

    def test_one_bad_slice_spoils_a_cell(self):
        run = a_run(vidi_bf16=[10, 20, 30], flask=[5, 5, 5])
        results.add(run.servers["flask"]["cells"], "small/16", outcome(5, "1 bad answer"))
        self.assertIsNone(run.rate("flask", "small/16"))
        self.assertIn("1 bad answer", report.render(run, []))

    def test_best_peer_is_of_the_class_and_not_ours(self):
        run = a_run(vidi_bf16=[90], openvino_bf16=[50], mosec_bf16=[60], openvino_bf16_scaled=[70], openvino_int8=[80])
        self.assertEqual(run.best_peer("small/16", precision="bf16", decode="exact"), "mosec-bf16")
        self.assertEqual(run.best_peer("small/16", decode="scaled"), "openvino-bf16-scaled")
        self.assertIsNone(run.best_peer("small/1", precision="bf16", decode="exact"))


    def test_undisturbed_is_the_soonest_hundredth_over_one_connection(self):
        run = a_run(vidi_bf16=[1], openvino_bf16=[1], mosec_bf16=[1])
        soonest_of = {"vidi-bf16": 4000, "openvino-bf16": 8000, "mosec-bf16": 6000}
        for name, key in (*((name, "small/1") for name in soonest_of), ("vidi-bf16", "typical/1")):
            soonest = soonest_of[name]
            histogram = [[1000, 1], [soonest, 19], [50_000, 1980]]
            results.add(run.servers[name]["cells"], key, load.Outcome(100, 1, histogram, ""))
        exact = run.peers(precision="bf16", decode="exact")
        self.assertEqual(run.undisturbed_ratio("vidi-bf16", exact, "small/1"), 1.5)
        self.assertIsNone(run.undisturbed_ms("vidi-bf16", "small/16"))
        self.assertIsNone(run.undisturbed_ms("vidi-bf16", "typical/1"))  # its soonest are the smallest pictures


class TargetsTest(unittest.TestCase):
    def verdict(self, run: results.Run, claim: str) -> str:
        return next(check.verdict for check in targets.checks(run) if check.claim.startswith(claim))

    def test_verdicts(self):
        claim = "small, 16 connections: vidi bf16"
        self.assertEqual(self.verdict(a_run(vidi_bf16=[110], mosec_bf16=[99]), claim), "met")
        self.assertEqual(self.verdict(a_run(vidi_bf16=[110], mosec_bf16=[101]), claim), "**not met**")
        self.assertEqual(self.verdict(a_run(vidi_bf16=[110]), claim), "not measured")

    def test_amx_claim_needs_amx(self):
        claim = "typical, 16 connections: vidi bf16 / Flask"
        run = a_run(vidi_bf16=[10], flask=[5])
        self.assertEqual(self.verdict(run, claim), "does not apply here")
        run.data["machine"]["amx"] = True
        self.assertEqual(self.verdict(run, claim), "not measured")

    def test_engine_times_are_at_most(self):
        run = results.Run({"engines": {"vidi fp32/1": [20.0], "ort fp32/1": [22.0], "openvino fp32/1": [21.0]}})
        self.assertEqual(self.verdict(run, "engine, fp32, 1 thread"), "met")
        run.engines["vidi fp32/1"] = [21.5]
        self.assertEqual(self.verdict(run, "engine, fp32, 1 thread"), "**not met**")
        run.engines["vidi fp32/1"] = [10.5, 21.5, 30.0]
        check = next(check for check in targets.checks(run) if check.claim.startswith("engine, fp32, 1 thread"))
        self.assertEqual((check.verdict, check.undisturbed), ("**not met**", 0.5))

    def test_every_server_named_exists(self):
        self.assertLessEqual(set(targets.EXPECTED), set(servers.servers("bf16")))

    def test_without_bf16_nothing_is_asked_of_it(self):
        self.assertEqual({server.precision for server in servers.servers("fp32").values()}, {"fp32", "int8"})
        run = a_run(vidi_bf16=[10], mosec_bf16=[5])
        run.data["machine"]["bf16"] = False
        for claim in ("small, 16 connections: vidi bf16", "engine, bf16, 2 threads"):
            self.assertEqual(self.verdict(run, claim), "does not apply here")


class ReportTest(unittest.TestCase):
    def test_whole_report(self):
        run = a_run(vidi_bf16=[123.4], flask=[20.0], mosec_bf16=[100.0])
        run.data["engines"] = {}
        run.engines = {"vidi fp32/1": [20.0], "ort fp32/1": [22.0]}
        run.tensors = {f"{way}/12 MP": [40.0] for way in ("vidi exact", "python exact", "vidi fast", "python draft")}
        text = report.render(run, ["benchmarks-other.md"])
        for want in ("| vidi bf16 |", "1.23 × mosec", "| ONNX Runtime fp32 | 22.00 | – |", "not comparable without AMX", "[benchmarks-other.md]", "## Targets"):
            self.assertIn(want, text)
        for line in text.splitlines():
            self.assertEqual(line, line.rstrip())

    def test_numbers(self):
        self.assertEqual([report.number(x) for x in (None, 0.5, 5.432, 54.32, 543.2)], ["–", "0.50", "5.43", "54.3", "543"])

    def test_median_is_found_at_any_depth(self):
        self.assertEqual(engines.median_in({"results": [{"threads": 1, "inference": {"median_ms": 3}}]}), 3)
        self.assertIsNone(engines.median_in({"median_ms": None}))


class PeersTest(unittest.TestCase):
    def test_preprocessing_is_torchvisions(self):
        usual = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
        photo = pictures.photo(sorted((pictures.ROOT / "examples").glob("*.jpg"))[0])
        for side in (200, 333, 641):
            file = io.BytesIO()
            pictures.longer_side(photo, side).save(file, "JPEG")
            with contextlib.closing(Image.open(file)) as image:
                want = np.asarray(usual(image.convert("RGB")))
            np.testing.assert_array_equal(preprocess.crop_of(file.getvalue()), want)

    def test_normalisation_is_torchvisions(self):
        pixels = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)
        usual = transforms.Compose([transforms.ToTensor(), transforms.Normalize(preprocess.MEAN.tolist(), preprocess.STD.tolist())])
        np.testing.assert_allclose(preprocess.normalised(pixels[None])[0], usual(Image.fromarray(pixels)).numpy(), atol=1e-5)


if __name__ == "__main__":
    unittest.main()
