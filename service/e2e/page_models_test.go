package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// The page asks for a model only where there are several: versions of one are not a person's choice. The operators' page says
// more than its first line only where there is more.
func TestPagesWithSeveralModels(t *testing.T) {
	folder := t.TempDir()
	for _, add := range [][]string{{"pets", "1"}, {"pets", "2"}, {"cars", "1"}} {
		if r := vidi(t, nil, "models", "--models", folder, "add", built(t, "tiny.pt"), "--name="+add[0], "--version="+add[1]); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	s, admin := startAdmin(t, "--models", folder, "--model=pets@1")
	operators := open(t, admin, desktop)
	operators.wait("figures", `document.querySelectorAll(".tile").length === 6`)
	if !eval[bool](operators, `document.querySelector("#models").hidden`) {
		t.Error("one model, and a table of models")
	}
	mustOperate(t, admin, "shadow", "pets@2", "100")
	p := open(t, s.url, desktop)
	p.wait("ready", `document.querySelector("#model").options.length === 1`)
	if !eval[bool](p, `document.querySelector("#model-choice").hidden`) {
		t.Error("one model in two versions, and the page asks which")
	}
	mustOperate(t, admin, "load", "cars")
	p = open(t, s.url, desktop)
	p.wait("the choice", `!document.querySelector("#model-choice").hidden`)
	if got := eval[string](p, `[...document.querySelector("#model").options].map((option) => option.value).join() + " " + document.querySelector("#model").value`); got != "pets,cars pets" {
		t.Errorf("the choice is %q", got)
	}
	cat := read(t, torchtest.File(t, "examples/cat.png"))
	s.waitFor(t, "comparisons", func() bool {
		s.post(t, "image/png", cat)
		return statusOf(t, admin).Models[0].Shadow.Pictures > 2
	})
	operators.wait("the shadow", `document.querySelector("#models .comparison")?.textContent.includes("The same first name for 100")`)
	wantIn(t, "the operators' page", operators.text("#models"), "pets 1", "stable", "pets 2", "shadow", "cars 1")
	operators.inspect("with models", axe(t))
	operators.click(`[data-language="zh"]`)
	operators.wait("Chinese", `document.querySelector("#models").textContent.includes("影子版")`)
	if dir := os.Getenv("VIDI_SCREENSHOTS"); dir != "" {
		p.shoot(filepath.Join(dir, "models-choice.webp"))
		operators.shoot(filepath.Join(dir, "stats-models.webp"))
	}
}
