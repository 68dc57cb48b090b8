"""What long work says on stderr."""

import contextlib
import io
import unittest
from unittest import mock

import paths  # noqa: F401
import progress


class ProgressTest(unittest.TestCase):
    def said(self, seconds: list[float], **options) -> list[str]:
        """What a count of as many steps says, each of which ends at that time."""
        with contextlib.redirect_stderr(io.StringIO()) as err, mock.patch("time.monotonic", side_effect=[0.0, *seconds]):
            counted = progress.Progress("pictures", 10, **options)
            for _ in seconds:
                counted.step()
            counted.finish()
        return err.getvalue().splitlines()

    def test_short_work_says_nothing(self):
        self.assertEqual(self.said([0.5, 1.0, 1.9]), [])

    def test_long_work_says_how_far_it_is_and_how_long_the_rest_takes(self):
        self.assertEqual(self.said([1.0, 2.5, 11.0, 20.0]), ["pictures: 2 of 10, 10 s left", "pictures: 4 of 10, 30 s left"])

    def test_no_estimate_where_steps_differ(self):
        self.assertEqual(self.said([3.0], estimate=False), ["pictures: 1 of 10"])

    def test_durations(self):
        self.assertEqual([progress.duration(s) for s in (0.2, 59, 89, 100, 3600)], ["1 s", "59 s", "89 s", "2 min", "60 min"])


if __name__ == "__main__":
    unittest.main()
