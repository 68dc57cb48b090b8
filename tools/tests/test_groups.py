"""The groups of ImageNet's classes: the committed column is the one that WordNet and the overrides give."""

import tempfile
import unittest
from pathlib import Path

from paths import LABELS

import groups

GROUPS = LABELS.parent / "groups.tsv"
OVERRIDES = groups.HERE / "overrides.tsv"


class GroupsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.wordnet = groups.WordNet()  # without Debian's package wordnet-base this fails, and says which file is missing

    def make(self, **changed: str) -> str:
        """The column, with the text of some tables replaced."""
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for name, original in (("table", LABELS), ("groups", GROUPS), ("overrides", OVERRIDES)):
                paths[name] = Path(folder) / name
                paths[name].write_text(changed.get(name, original.read_text(encoding="utf-8")), encoding="utf-8")
            return groups.make(paths["table"], paths["groups"], paths["overrides"], self.wordnet)

    def test_the_committed_column(self):
        self.assertEqual(self.make(), LABELS.read_text(encoding="utf-8"))

    def test_levels_go_up(self):
        levels = self.wordnet.levels("n02123045")
        words = [self.wordnet.words[level[0]][0] for level in levels[:4]]
        self.assertEqual(words[:2], ["tabby", "domestic_cat"])
        self.assertEqual(self.wordnet.words[levels[-1][0]], ["entity"])
        with self.assertRaisesRegex(ValueError, "version 3.0"):
            self.wordnet.levels("n00000001")

    def test_the_nearest_synset_counts(self):
        order, first, also = groups.read_groups(GROUPS, self.wordnet)
        for wnid, want in (("n02123045", ["cat"]), ("n02129165", ["wild cat"]), ("n04442312", ["home appliance", "kitchen"])):
            self.assertEqual(groups.groups_of(wnid, self.wordnet, first, also, order), want)

    def test_top_level_groups_come_last(self):
        tops = groups.read_tops(GROUPS)
        for chosen, want in (
            (["cat"], ["cat", "animal"]),
            (["furniture", "room"], ["furniture", "room"]),
            (["boat", "weapon or armour"], ["boat", "weapon or armour", "vehicle"]),
            (["container", "flower or plant"], ["container", "flower or plant", "plant", "household item"]),
            (["mushroom", "plant", "food and drink"], ["mushroom", "plant", "food and drink"]),
        ):
            self.assertEqual(groups.with_tops(chosen, tops), want)

    def test_mistakes_are_refused(self):
        table, override = GROUPS.read_text(encoding="utf-8"), OVERRIDES.read_text(encoding="utf-8")
        panda = "n02510455\tgiant panda\tbear\teverybody's bear; WordNet puts it with the raccoons\n"
        self.assertIn(panda, override)
        for what, tables in {
            "no reason": {"overrides": override.replace(panda, "n02510455\tgiant panda\tbear\t\n")},
            "unknown group": {"overrides": override.replace(panda, "n02510455\tgiant panda\tpanda\tit is\n")},
            "not red panda": {"overrides": override.replace(panda, "n02510455\tred panda\tbear\tit is\n")},
            "the same": {"overrides": override.replace(panda, "n02510455\tgiant panda\tother mammal\tit is\n")},
            "no class n00000001": {"overrides": override + "n00000001\tghost\tbear\tit is\n"},
            "WordNet's words": {"groups": table.replace("=dog\t", "=cat\t")},
            "is in no group": {"groups": table.replace("n01503061=bird", "")},
            "no class is in": {"groups": table + "ghost\t鬼\tghost\t\t\t\n"},
            "there twice": {"groups": table + "dog\t狗\tanimal\t\t\t\n"},
            "no top-level group": {"groups": table.replace("\tanimal\tn02084071", "\tcat\tn02084071")},
            "has no top-level group": {"groups": table.replace("\tanimal\tn02084071", "\t\tn02084071")},
        }.items():
            with self.subTest(what), self.assertRaisesRegex(ValueError, what):
                self.make(**tables)


if __name__ == "__main__":
    unittest.main()
