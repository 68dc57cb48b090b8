package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// decisions are what an editor says of ImageNet's classes: "nearest group < top-level group" and the classes.
var decisions = map[string]string{
	"dog < animal":             "Chihuahua, beagle, Pomeranian, Mexican hairless, papillon, boxer, Cardigan",
	"wild dog or fox < animal": "timber wolf, red fox, dingo, African hunting dog",
	"cat < animal":             "tabby, Persian cat, Egyptian cat",
	"wild cat < animal":        "lion, tiger, cheetah, lynx",
	"bear < animal":            "brown bear, ice bear, giant panda",
	"monkey or ape < animal":   "gorilla, macaque, Madagascar cat",
	"hoofed animal or elephant < animal": "zebra, ox, ram, hog, Arabian camel, tusker, African elephant, hippopotamus, " +
		"sorrel",
	"rodent or rabbit < animal":      "hamster, fox squirrel, beaver, wood rabbit, Angora",
	"whale or seal < animal":         "grey whale, sea lion",
	"other mammal < animal":          "koala, hyena, otter, lesser panda, meerkat",
	"bird < animal":                  "cock, goose, crane bird, bald eagle, king penguin, ostrich, kite, drake",
	"snake < animal":                 "garter snake, Indian cobra, boa constrictor",
	"other reptile < animal":         "box turtle, common iguana, American alligator, triceratops, alligator lizard",
	"frog or salamander < animal":    "bullfrog, axolotl",
	"fish < animal":                  "goldfish, great white shark, eel, stingray, anemone fish",
	"insect < animal":                "bee, ant, monarch, ladybug, walking stick, admiral",
	"spider or scorpion < animal":    "tarantula, scorpion, tick, black widow",
	"sea creature or snail < animal": "jellyfish, snail, king crab, crayfish, starfish",
	"animal home < nature":           "honeycomb, spider web, birdhouse, apiary",
	"mountain < nature":              "volcano, valley, alp, cliff",
	"shore < nature":                 "seashore, lakeside, coral reef, promontory",
	"flower or plant < plant":        "daisy, rapeseed, hay, acorn, hip, buckeye",
	"mushroom < plant":               "agaric, stinkhorn, gyromitra, coral fungus, earthstar",
	"mushroom < food and drink":      "mushroom, bolete, hen-of-the-woods",
	"fruit < food and drink":         "banana, lemon, Granny Smith, fig, pomegranate",
	"vegetable < food and drink":     "broccoli, corn, ear, cucumber, cardoon, acorn squash, head cabbage",
	"food < food and drink": "pizza, hot pot, plate, mashed potato, French loaf, chocolate sauce, ice cream, " +
		"dough, trifle",
	"drink < food and drink": "espresso, red wine, eggnog",
	"person < person":        "ballplayer, groom, scuba diver",
	"car < vehicle": "cab, minivan, sports car, convertible, limousine, beach wagon, jeep, Model T, " +
		"racer",
	"truck or bus < vehicle": "pickup, fire engine, ambulance, police van, school bus, tractor, tank, " +
		"half track, amphibian, snowplow",
	"train < vehicle":                 "bullet train, streetcar, passenger car, freight car",
	"bicycle or motorcycle < vehicle": "mountain bike, moped, tricycle",
	"cart or sled < vehicle":          "oxcart, dogsled, shopping cart, snowmobile",
	"boat < vehicle":                  "canoe, aircraft carrier, submarine, pirate, wreck, gondola",
	"aircraft < vehicle":              "airliner, space shuttle, balloon, airship, warplane",
	"vehicle part < equipment": "seat belt, disk brake, grille, car wheel, car mirror, oil filter, paddlewheel, " +
		"wing",
	"clock or gauge < equipment":  "odometer, wall clock, rule, scale",
	"tool or machine < equipment": "hammer, plane, crane, chain saw, drumstick, pick, plow, pole",
	"building < architecture":     "church, castle, barn, library, bell cote, greenhouse, yurt",
	"building part < architecture": "bannister, altar, dome, vault, tile roof, thatch, sliding door, window screen, " +
		"stage",
	"structure < architecture": "dam, pier, picket fence, suspension bridge, obelisk, fountain, water tower, " +
		"flagpole",
	"street < architecture":                    "street sign, traffic light, parking meter, mailbox",
	"shop or restaurant < architecture":        "bakery, bookshop, restaurant",
	"furniture < furniture":                    "desk, barber chair, throne, wardrobe",
	"kitchenware < household item":             "cup, coffee mug, teapot, beer glass, soup bowl, wok, pitcher, bottlecap",
	"home appliance < household item":          "toaster, refrigerator, vacuum, espresso maker",
	"container < household item":               "pot, beer bottle, wine bottle, bucket, Petri dish, vase, piggy bank",
	"textile < household item":                 "quilt, bath towel, wool",
	"bathroom < household item":                "bathtub, toilet seat",
	"lamp or candle < household item":          "table lamp, candle, torch",
	"clothing < clothing or accessory":         "cardigan, maillot, bikini, jean, suit",
	"shoe or sock < clothing or accessory":     "sandal, sock, clog",
	"hat or helmet < clothing or accessory":    "sombrero, crash helmet",
	"bag or accessory < clothing or accessory": "backpack, bow tie, sunglasses, holster, scabbard, necklace",
	"weapon or armour < weapon or armour":      "missile, rifle, cannon, revolver, shield, bulletproof vest",
	"musical instrument < musical instrument":  "drum, organ, acoustic guitar, chime",
	"sports equipment < sports equipment":      "paddle, parachute, basketball, ski, pool table",
	"toy or game < toy or game":                "teddy, jigsaw puzzle, carousel",
	"electronics < electronics":                "laptop, mouse, television, cash machine, iPod, screen",
	"health or beauty < health or beauty":      "lipstick, syringe, Band Aid, nipple",
	"book or stationery < book or stationery":  "comic book, ballpoint, menu, envelope",
}

// topOf is the top-level group of a class: that of its first group, which may be this one.
func topOf(groups []string, tops map[string]bool) string {
	if tops[groups[0]] {
		return groups[0]
	}
	return groups[len(groups)-1]
}

func TestTheEditorsDecisions(t *testing.T) {
	known, of := imageNetGroups()
	tops, names := map[string]bool{}, map[string]bool{}
	for _, g := range known {
		names[g.Group] = true
		if g.Top {
			tops[g.Group] = true
		}
	}
	count := 0
	byLabel := map[string]string{}
	for _, l := range ImageNet() {
		groups := of[l.WNID]
		byLabel[l.Label] = groups[0] + " < " + topOf(groups, tops)
		if !tops[topOf(groups, tops)] {
			t.Errorf("%s has no top-level group last: %q", l.Label, groups)
		}
		for i, group := range groups {
			if !names[group] || slices.Contains(groups[:i], group) {
				t.Errorf("%s: %q is unknown, or there twice: %q", l.Label, group, groups)
			}
		}
	}
	for want, labels := range decisions {
		for label := range strings.SplitSeq(labels, ", ") {
			count++
			if got := byLabel[label]; got != want {
				t.Errorf("%s is %q, want %q", label, got, want)
			}
		}
	}
	if count < 200 {
		t.Errorf("only %d decisions are tested", count)
	}
	// A top-level group holds its groups whole, so that it is never less likely than one of them.
	g := BareCard("bare", 1000).Grouping()
	for _, row := range rows(groupsTSV, "groups.tsv", 6) {
		_, classes := groupOf(t, g, row[0])
		if row[2] == "" {
			continue // the sign of a place
		}
		_, above := groupOf(t, g, row[2])
		for _, class := range classes {
			if !slices.Contains(above, class) {
				t.Errorf("%s is in %q, but not in %q", ImageNet()[class].Label, row[0], row[2])
			}
		}
	}
}

// A part or an accessory is not the whole, a vessel not what it holds: in no place of the list.
func TestPartsAreNotTheWhole(t *testing.T) {
	g := BareCard("bare", 1000).Grouping()
	index := map[string]int{}
	for i, l := range ImageNet() {
		index[l.Label] = i
	}
	for group, labels := range map[string]string{
		"car": "seat belt, disk brake, grille, car wheel, car mirror, oil filter, odometer, " +
			"parking meter, passenger car, freight car",
		"vehicle": "seat belt, disk brake, grille, car wheel, car mirror, paddle, paddlewheel, " +
			"wing, parachute",
		"boat":     "paddle, paddlewheel, boathouse, dock",
		"aircraft": "wing, parachute, missile",
		"building": "bannister, altar, dome, vault, tile roof, thatch, stage, sliding door, " +
			"window screen, mountain tent, birdhouse, fountain, dam, pier",
		"food and drink": "cup, coffee mug, beer glass, beer bottle, wine bottle, soup bowl, teapot, " +
			"coffeepot, pot, menu, stinkhorn, gyromitra, espresso maker",
		"animal": "honeycomb, spider web, birdhouse, apiary, teddy, wool, mouse, dogsled, " +
			"horse cart",
		"weapon or armour":   "holster, scabbard, space shuttle, balloon, cleaver, hatchet",
		"musical instrument": "drumstick, pick, whistle",
		"container":          "bottlecap, nipple",
		"shop or restaurant": "barber chair, shopping cart, shopping basket, menu",
	} {
		_, classes := groupOf(t, g, group)
		for label := range strings.SplitSeq(labels, ", ") {
			class, ok := index[label]
			if !ok {
				t.Fatalf("there is no class %q", label)
			}
			if slices.Contains(classes, class) {
				t.Errorf("%s is in %q", label, group)
			}
		}
	}
}

// Chinese names are what people say, and no word that somebody may write leads to two groups.
func TestTheNamesOfGroups(t *testing.T) {
	known, _ := imageNetGroups()
	of := map[string]string{}
	for _, g := range known {
		for _, word := range append(slices.Collect(maps.Values(g.Names)), g.Like...) {
			if other, ok := of[word]; ok && other != g.Group {
				t.Errorf("%q is a word for %q and for %q", word, other, g.Group)
			}
			of[word] = g.Group
		}
		if zh := g.Names["zh"]; strings.Contains(zh, "构筑物") || strings.Contains(zh, "轿车") {
			t.Errorf("%q is %q in Chinese", g.Group, zh)
		}
	}
	for group, zh := range map[string]string{"car": "小汽车", "animal": "动物", "vehicle": "交通工具",
		"food and drink": "食品与饮料", "structure": "桥梁、围墙等设施"} {
		if of[zh] != group {
			t.Errorf("%s is not %s, but %s", zh, group, fmt.Sprint(of[zh]))
		}
	}
}
