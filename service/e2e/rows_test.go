package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// The catalogue of hostile inputs has rows of pictures (A: containers and limits, B: JPEG, C: the other formats), of requests (H)
// and of access (X). docs/hostile.md lists them. Each is proved here, by what the real server answers, and by the tests that
// `elsewhere` names, where something is to be seen that no answer shows.
var elsewhere = map[string][]string{
	"A9":  {"service/httpapi TestBodyLimit", "service/httpapi TestRefusalReachesAClientThatSendsEverythingFirst"},
	"A14": {"service/preprocess TestRowsA/A14"},
	"A15": {"service/e2e TestBombsAtOnce"},
	"B10": {"service/preprocess TestRowsB/B10", "service/e2e TestEveryHostileFileThroughTheServer", "cgo/image Hostile.MutantsOfGoodFiles"},
	"C2":  {"service/preprocess TestRowsC/C2"},
	"C13": {"service/preprocess TestRowsC/C13"},
	"C14": {"service/preprocess TestC14Orientations", "service/preprocess TestC14Upright", "service/e2e TestEightOrientationsAreOnePicture"},
	"C15": {"service/preprocess TestC15CorruptEXIF"},
	"H6":  {"service/httpapi TestBadParameters"},
	"H7":  {"service/httpapi TestBadParameters"},
	"H9":  {"service/httpapi TestContentEncodingIsRefused"},
	"H10": {"service/httpapi TestUnknownAddressesAndMethods"},
	"H11": {"service/httpapi TestTooManyHeaderBytes"},
	"H12": {"service/httpapi TestSlowUpload", "service/e2e TestSlowConnections", "service/e2e BenchmarkSlowConnections"},
	"H13": {"service/httpapi TestAMillionChunks", "service/e2e TestAMillionChunksCostLittle"},
	"H14": {"service/httpapi TestSmugglingAndMalformedChunks"},
	"H15": {"service/httpapi TestClientGoesAwayWhileItSends", "service/httpapi TestClientGoesAwayWhileItWaits"},
	"H16": {"service/httpapi TestPipeliningAndHTTP10", "service/httpapi TestExpectContinue"},
	"H17": {"service/e2e TestFewDescriptors"},
	"H19": {"service/httpapi TestFullQueueRefusesAtTheDoor", "service/e2e BenchmarkOverload"},
	"H20": {"service/httpapi TestDeadline", "service/httpapi TestDeadlineDoesNotCountTheUpload"},
	"H24": {"make test-schema"},
	"X1":  {"service/keys TestNothingNearAKeyOpens", "service/httpapi TestAKeyIsAskedForWherePicturesAre"},
	"X3":  {"service/e2e TestPageShowsHostileNamesAsText"},
	"X4":  {"service/httpapi TestPolicyOfTheAPIStays"},
	"X6":  {"service/httpapi TestCORSIsOffUnlessAsked", "service/httpapi TestCORSForNamedOrigins"},
	"X7":  {"service/e2e TestOperatorsHaveAPortOfTheirOwn", "service/e2e TestRandomPathsMakeNoLabels"},
	"X10": {"service/e2e TestLibrariesAreNotTheKnownBadOnes"},
	"X11": {"service/e2e TestServeWritesNoFile"},
	"X12": {"service/e2e TestNobodyGetsAnothersAnswer"},

	"R1": {
		"service/e2e TestPNGsThatGoOnDelayNobody", "service/preprocess TestEveryDecoderKeepsTheClock", "service/preprocess TestCodeGroupsAreCharged",
		"cgo/image Png.PixelsBehindTheLastRowAreNotInflated", "cgo/image Png.TheClockIsReadBeforeTheFirstRowToo",
	},
	"R2": {"service/e2e TestNoRequestFillsTheLog", "service/logs TestLinesAreBounded"},
	"R3": {"service/e2e TestALogThatNobodyReads", "service/e2e TestALogWhoseReaderEnds",
		"service/e2e TestACrashEndsWhereNobodyReads", "service/logs TestAWriterThatFails", "service/e2e TestAModelThatPrints", "service/e2e TestWhatAModelPrintsIsNoResult"},
	"R4": {
		"service/e2e TestHeadersBeforeAnyKey", "service/connections TestUnfinishedHeadersAreDroppedOldestFirst",
		"service/connections TestHeadersAreBounded", "service/connections TestNoAddressTakesAll",
		"service/connections TestOnlyUnfinishedHeadersGiveWay", "service/connections TestCosts",
	},
	"R5a": {
		"service/e2e TestModelsThatDoMoreThanCompute", "service/e2e TestTrustedModelsDoWhatTheyDo", "service/e2e TestTrustIsGivenByDigest", "service/operators TestEverySpellingIsFound",
		"service/operators TestNamespacesAreNoClasses", "service/model TestCodeIsFoundWhereverItLies", "service/model TestAnArchiveCannotBeReadInTwoWays", "service/model TestTrustIsBoundToTheFile",
		"service/e2e TestPicklesThatLie", "service/model TestPicklesThatLieAreRefused",
		"service/model TestTensorsLieWithinTheirStorage", "service/model TestValuesFitTheirTypes",
		"service/model TestDebugRecordsStayWithinTheirTexts",
	},
	"R5b": {
		"service/trial TestTheTrialHoldsAHostileModel", "service/sandbox TestForbiddenCallsAreNamed",
		"service/sandbox TestFlagsOfOpenat", "service/sandbox TestStartHoldsToTheRules",
	},
	"R6a": {
		"service/e2e TestModelsThatMisbehave", "cgo/torch Budget.MemoryIsBounded", "cgo/torch Budget.ConstantsAreNotComputedAheadBeyondTheLimit", "cgo/torch Budget.OthersAreNotCharged",
		"service/e2e TestModelsThatTakeMoreThanTheirFiles", "service/engine TestLoadTakesWhatTheTrialDid", "service/registry TestMeasuredMemoryCounts",
	},
	"R6b": {"service/e2e TestModelsThatMisbehave", "service/e2e TestStuckWorkers", "cgo/torch Budget.LoopsThatNeverEndAreEnded", "torchbind TestRunUntilLeaves"},
	"R6c": {"service/e2e TestModelsThatMisbehave"},
	"R6e": {
		"service/e2e TestModelsThatKeep", "cgo/torch Kept.WhatGrowsIsRefused", "cgo/torch Kept.WhatDoesNotGrowCountsNothing",
		"cgo/torch Kept.ForksCountTogether",
	},
	"R6f": {"service/e2e TestModelsThatMisbehave"},
	"R6d": {
		"service/e2e TestModelsThatLoopWhileTheyLoad", "service/operators TestWhatRunsWhileLoading", "service/trial TestATrialEndsWhileLoading",
		"service/engine TestLoadIsGivenUp", "service/registry TestALoadThatIsGivenUp",
	},
	"R5c": {
		"service/e2e TestTheServerHoldsAHostileModel", "service/e2e TestAHeldServerSeesChanges",
		"service/e2e TestAHeldServerFollowsItsSwitchedFolder",
		"service/sandbox TestEnterHoldsTheWholeProcess",
	},
	"R5d": {"service/engine TestAFileIsNotExchanged", "service/trial TestATrialTriesTheFileThatWasSeen"},
	"R7": {
		"service/e2e TestSilentUploadsGiveWay", "service/admission TestSlowTransfersGiveWay",
		"service/admission TestAClientsShareOfTheBytes", "service/admission TestPace",
	},
	"R8": {
		"service/e2e TestBombsLeaveTurnsToOthers",
		"service/e2e TestLargePicturesWaitWithoutTurns", "service/admission TestTheMostWorkGivesWay",
		"service/admission TestTurnsAreShared", "service/admission TestHeavyPicturesLeaveATurn",
		"service/admission TestNobodyStarves", "service/keys TestChargeIsPaidBack",
		"service/admission TestSmallPicturesWaitForNoLargeOnes",
		"service/admission TestALargePictureIsNotPassedBy", "service/admission TestOnlyWorkIsCharged",
	},
	"R9": {
		"service/e2e TestUnreadAnswersAreBounded", "service/httpapi TestAnswersAreHeldToAPace",
	},
	"R10": {
		"service/e2e TestAPlainProxyOpensNothing", "service/e2e TestTheAdminPortEndsAfterTwoLengths",
		"service/e2e TestIdleOperatorsLeaveThePublicPortAlone", "service/admin TestThisMachineSeesFiguresWithoutAKey",
		"service/admin TestTheSocketKnowsWhoAsks", "service/admin TestRootBelievesWhoHasThePort", "service/connections TestUnfinishedHeadersGiveWay",
	},
	"R11": {
		"service/e2e TestLoopbackAnswersToItsOwnNames", "service/httpapi TestLoopbackIsKeptToThisMachine",
		"service/httpapi TestOtherAddressesHaveAnyName",
	},
	"R12a": {"make test-setup"},
	"R12b": {"make test-setup", "make vulnerabilities"},
	"R13a": {"service/e2e TestFilesOnAFileSystemThatHangs", "service/watch TestAReadThatHangs", "service/keys TestABrokenFileKeepsTheOldKeysAndIsLoud", "service/userfile TestOpenWaitsForNothing",
		"service/sandbox TestStartHoldsToTheRules"},
	"R13b": {"service/e2e TestNoCommandPrintsWhatACardWants", "service/e2e TestNoCommandPrintsWhatAServerWants", "service/cmd/vidi TestErrorsHaveNoControlCharacters", "service/cmd/vidi TestProgramsReadWhatWasSaid"},
	"R13c": {"service/imports TestNestedConfigurations", "service/rules TestNestedRules", "service/model TestACardOfAMillionMistakes", "service/model TestHostilePicklesCostLittle"},
	"R13e": {"service/model TestDraftsOfTheDead"},
	"R13f": {"service/preprocess TestRefusalsReadWell"},
	"R13d": {"service/e2e TestAHangupDrains", "service/cmd/vidi TestHangupsDoNotCutOff"},
}

// around are the rows of attacks on what stands around the pictures: the log, the headers, the models, the files. They have no input
// that is sent here; all of their proof is elsewhere.
func around() []string {
	rows := slices.DeleteFunc(slices.Collect(maps.Keys(elsewhere)), func(row string) bool { return row[0] != 'R' })
	slices.SortFunc(rows, model.CompareVersions) // R5b after R5a, before R13
	return rows
}

// rowNames are all rows, in the table's order.
func rowNames() (names []string) {
	for _, size := range sizes {
		for n := range size.rows {
			names = append(names, fmt.Sprint(size.part, n+1))
		}
	}
	return append(names, around()...)
}

// sizes are how many rows each part of the catalogue has.
var sizes = []struct {
	part string
	rows int
}{{"A", 17}, {"B", 11}, {"C", 16}, {"H", 24}, {"X", 12}}

const rowsFile = "testdata/hostile_rows.tsv"

// wholeCatalogue is true where every input of every row is sent, and the tests elsewhere are run as well: `make test-hostile`.
// Otherwise a few inputs of each row are, and the others' own tests must be there.
var wholeCatalogue = os.Getenv("VIDI_HOSTILE") == "all"

// TestHostileRows sends the rows to the real server and compares its answers with the table in rowsFile. After every row the
// server must be as before it. VIDI_HOSTILE=all VIDI_UPDATE=1 writes the table anew.
func TestHostileRows(t *testing.T) {
	shared(t, "hostile") // some rows' inputs are in the corpus
	r := &rows{guard: guarded(t, startWithAdmin(t, lite0, "--deadline=5m")), answers: map[string]map[string]bool{}}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	inputs := rowInputs(t)
	for _, size := range sizes {
		for n := range size.rows {
			row := fmt.Sprint(size.part, n+1)
			t.Run(row, func(t *testing.T) {
				for _, file := range sample(inputs[row]) {
					r.sendInput(t, row, file)
				}
				if more := requestRows[row]; more != nil {
					more(t, r.of(row))
				}
				r.wantAsBefore(t)
			})
		}
	}
	proved(t, elsewhere)
	r.compare(t)
}

// rows collects what was answered.
type rows struct {
	*guard
	answers map[string]map[string]bool
}

// rowOf adds answers to one row.
type rowOf struct {
	*rows
	row string
}

func (r *rows) of(row string) rowOf { return rowOf{r, row} }

func (r *rows) add(row, answer string) {
	if r.answers[row] == nil {
		r.answers[row] = map[string]bool{}
	}
	r.answers[row][answer] = true
}

// want notes an answer, and holds it against what is expected: a status, or a status and a problem's code.
func (r rowOf) want(t *testing.T, what, got string, wanted ...string) {
	t.Helper()
	r.add(r.row, got)
	if !slices.Contains(wanted, got) {
		t.Errorf("%s: %s, want %s", what, got, strings.Join(wanted, " or "))
	}
}

// compare holds the answers against the table, which has a line for every row.
func (r *rows) compare(t *testing.T) {
	var made strings.Builder
	made.WriteString("# row\tanswers of the server\talso proved by\n# Made by: VIDI_HOSTILE=all VIDI_UPDATE=1 go test -run TestHostileRows ./service/e2e\n")
	table := map[string]string{}
	for _, row := range rowNames() {
		answers := slices.Sorted(maps.Keys(r.answers[row]))
		if len(answers) == 0 && len(elsewhere[row]) == 0 {
			t.Errorf("nothing proves row %s", row)
		}
		table[row] = strings.Join(answers, ", ")
		fmt.Fprintf(&made, "%s\t%s\t%s\n", row, table[row], strings.Join(elsewhere[row], ", "))
	}
	if os.Getenv("VIDI_UPDATE") != "" && wholeCatalogue {
		if err := os.WriteFile(rowsFile, []byte(made.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	golden := map[string][]string{}
	for line := range strings.Lines(string(read(t, rowsFile))) {
		if field := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(field) == 3 && line[0] != '#' {
			golden[field[0]] = field[1:]
		}
	}
	for row, answers := range table {
		if len(golden[row]) == 0 {
			t.Errorf("%s has no line for row %s", rowsFile, row)
			continue
		}
		listed := strings.Split(golden[row][0], ", ")
		for answer := range r.answers[row] {
			if !slices.Contains(listed, answer) {
				t.Errorf("row %s: the server answered %s; the table has %s", row, answer, golden[row][0])
			}
		}
		if wholeCatalogue && answers != golden[row][0] {
			t.Errorf("row %s: the server answered %s; the table has %s", row, answers, golden[row][0])
		}
		if proofs := strings.Join(elsewhere[row], ", "); proofs != golden[row][1] {
			t.Errorf("row %s is also proved by %s; the table has %s", row, proofs, golden[row][1])
		}
	}
	if len(golden) != len(table) {
		t.Errorf("%s has %d rows, want %d", rowsFile, len(golden), len(table))
	}
}

// rowInputs are the inputs of the packages' own tests of the rows, which run here and leave them: so nothing is made twice, and
// the real server must give the answers that they saw.
func rowInputs(t *testing.T) map[string][]string {
	folder := t.TempDir()
	cmd := exec.Command("go", "test", "-count=1", "-run", "^(TestRows[ABC]|TestC1[45].*|TestHostileBodies)$", "./service/preprocess", "./service/httpapi")
	cmd.Dir = filepath.Dir(torchtest.File(t, "go.mod"))
	cmd.Env = append(os.Environ(), "VIDI_ROWS="+folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the rows' own tests: %v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) < 1500 {
		t.Fatalf("%d inputs (%v)", len(files), err)
	}
	inputs := map[string][]string{}
	for _, file := range files {
		row, _, _ := strings.Cut(filepath.Base(file), "-")
		inputs[row] = append(inputs[row], file)
	}
	return inputs
}

// sample is all of them, or 12 from all over.
func sample(files []string) []string {
	const few = 12
	if wholeCatalogue || len(files) <= few {
		return files
	}
	var some []string
	for i := range few {
		some = append(some, files[i*len(files)/few])
	}
	return some
}

// sendInput sends an input that rowInputs left, and wants the answer that is in its name or in itself.
func (r *rows) sendInput(t *testing.T, row, file string) {
	data, contentType := read(t, file), "application/octet-stream"
	var want string
	if strings.HasSuffix(file, ".json") {
		var request struct {
			Name        string
			ContentType string `json:"content_type"`
			Body        []byte
			Want        string
		}
		if err := json.Unmarshal(data, &request); err != nil {
			t.Fatal(err)
		}
		data, contentType, want, file = request.Body, request.ContentType, request.Want, request.Name
	} else {
		want = file[strings.LastIndex(file, "-")+1:]
	}
	if len(data) == 0 && contentType == "application/octet-stream" {
		want = "empty_image"
	}
	got := r.answer(t, http.MethodPost, "/predict", contentType, data)
	r.add(row, got)
	if got != "200" && !strings.HasSuffix(got, " "+want) || got == "200" && want != "ok" {
		t.Errorf("%s: %s, want %s", filepath.Base(file), got, want)
	}
}

// answer is the status of the server's answer, and the code of its problem. Headers are pairs.
func (g *guard) answer(t *testing.T, method, path, contentType string, body []byte, headers ...string) string {
	t.Helper()
	request, err := http.NewRequest(method, g.s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Errorf("no answer: %v", err)
		return "no answer"
	}
	defer response.Body.Close()
	return describe(t, response)
}

// leaks is what no answer may show: file names, addresses, Go's and C++'s own words. That is row X8.
var leaks = regexp.MustCompile(`/(tmp|root|home|usr|proc|work|var|etc|lib)\b|\.go\b|\.cc\b|\.pt\b|goroutine|torch|0x[0-9a-f]{4}|echo|runtime error|jsontext|multipart:`)

// describe reads an answer, and checks what holds of all of them.
func describe(t *testing.T, response *http.Response) string {
	t.Helper()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil && !response.Close { // closing on what was not read resets the connection
		t.Errorf("half an answer: %v", err)
	}
	if response.Header.Get("Content-Type") != api.ProblemType {
		return fmt.Sprint(response.StatusCode)
	}
	var p api.Problem
	if err := json.Unmarshal(body.Bytes(), &p); err != nil || p.Status != response.StatusCode || p.Detail == "" || p.RequestID == "" {
		t.Errorf("not a whole problem: %v %s", err, &body)
	}
	if found := leaks.FindString(body.String()); found != "" {
		t.Errorf("the answer shows %q: %s", found, &body)
	}
	if p.Status >= 500 && p.Code != api.DeadlineExceeded {
		t.Errorf("a fault of the server's own: %s", &body)
	}
	return fmt.Sprint(p.Status, " ", p.Code)
}

// proved holds that every test that is named exists; for the whole catalogue it also runs those of other packages.
func proved(t *testing.T, tests map[string][]string) {
	root := filepath.Dir(torchtest.File(t, "go.mod"))
	byPackage := map[string][]string{}
	for row, names := range tests {
		for _, name := range names {
			where, test, _ := strings.Cut(name, " ")
			if where == "make" {
				if !bytes.Contains(read(t, filepath.Join(root, "Makefile")), []byte("\n"+test+":")) {
					t.Errorf("row %s: there is no %s", row, name)
				}
				continue
			}
			test, part, _ := strings.Cut(test, "/")
			declared := `func ` + test + `\(`
			isCpp := strings.HasPrefix(where, "cgo/")
			if isCpp {
				declared = regexp.MustCompile(`(\w+)\.(\w+)`).ReplaceAllString(test, `TEST(_F)?\($1, $2`)
			}
			if part != "" {
				declared += `(?s:.*)"` + part + ` `
			}
			if !inFiles(t, filepath.Join(root, where), regexp.MustCompile(declared)) {
				t.Errorf("row %s: there is no test %s", row, name)
			}
			if where != "service/e2e" && !isCpp {
				byPackage[where] = append(byPackage[where], test)
			}
		}
	}
	if !wholeCatalogue {
		return
	}
	for _, where := range slices.Sorted(maps.Keys(byPackage)) {
		cmd := exec.Command("go", "test", "-count=1", "-v", "-run", "^("+strings.Join(byPackage[where], "|")+")$", "./"+where)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("--- SKIP")) {
			t.Errorf("%s: %v\n%s", where, err, lastLines(string(out), 30))
		}
		for _, test := range byPackage[where] {
			if !bytes.Contains(out, []byte("--- PASS: "+test+" ")) {
				t.Errorf("%s %s did not run", where, test)
			}
		}
	}
}

func inFiles(t *testing.T, folder string, pattern *regexp.Regexp) bool {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", folder, err)
	}
	return slices.ContainsFunc(files, func(file string) bool { return pattern.Match(read(t, file)) })
}
