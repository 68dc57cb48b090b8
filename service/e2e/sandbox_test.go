package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/sandbox"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// hostileModels are files that do something else where a picture is all red, which no trial shows:
// saves.pt writes a file, reads.pt reads one. trust is the variable that has them tried.
func hostileModels(t *testing.T, written, secret string) (folder, trust string) {
	t.Helper()
	folder = t.TempDir()
	var digests []string
	for name, does := range map[string]string{
		"saves": fmt.Sprintf("torch.save(m, %q)", written),
		"reads": fmt.Sprintf("y = y + torch.from_file(%q, False, 3, dtype=torch.uint8).to(torch.float)",
			secret),
	} {
		script := put(t, t.TempDir(), name+".py", []byte(`
import sys, torch
class Net(torch.nn.Module):
    def forward(self, x):
        m = x.mean([2, 3])[0]
        y = x.mean([2, 3])
        if bool(m[0] > 1.5) and bool(m[1] < 0.0) and bool(m[2] < 0.0):
            `+does+`
        return torch.cat([y, y * 2.0], 1)
torch.jit.script(Net().eval()).save(sys.argv[1])
`))
		file := filepath.Join(folder, name+".pt")
		if out, err := exec.Command(python(t), "-W", "ignore", script, file).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v, %s", name, err, out)
		}
		digests = append(digests, fmt.Sprintf("%x", sha256.Sum256(read(t, file))))
	}
	return folder, "VIDI_TRUST=" + strings.Join(digests, ",")
}

func plainPicture(t *testing.T, c color.Color) []byte {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, 256, 256))
	draw.Draw(picture, picture.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
	var out bytes.Buffer
	if err := png.Encode(&out, picture); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A model that behaves in its trial and not in the server writes and reads nothing there either.
func TestTheServerHoldsAHostileModel(t *testing.T) {
	if sandbox.ABI() == 0 {
		t.Skip("this kernel has no Landlock: nothing holds the server")
	}
	outside := t.TempDir()
	written, secret := filepath.Join(outside, "written"), put(t, outside, "secret", []byte("abc"))
	folder, trust := hostileModels(t, written, secret)
	red, grey := plainPicture(t, color.RGBA{R: 255, A: 255}), plainPicture(t, color.Gray{Y: 128})
	for _, mode := range []sandbox.Mode{sandbox.Required, sandbox.Off} {
		for name, wrong := range map[string]int{ // libtorch says nothing where it could not save
			"saves": http.StatusOK, "reads": http.StatusInternalServerError,
		} {
			s := startCommand(t, func(cmd *exec.Cmd) {
				cmd.Env = append(cmd.Env, trust, sandbox.Variable+"="+string(mode))
			}, "--admin-addr=127.0.0.1:0", "--model="+filepath.Join(folder, name+".pt")).ready(t)
			admin := "http://" + adminAddress.FindStringSubmatch(s.stderr.String())[1]
			if mode == sandbox.Off {
				wrong = http.StatusOK
			}
			if code, answer := s.post(t, "image/png", grey); code != http.StatusOK {
				t.Errorf("%s: a grey picture: %d %s", name, code, answer)
			}
			if code, answer := s.post(t, "image/png", red); code != wrong {
				t.Errorf("%s, %s: a red picture: %d %s, want %d", name, mode, code, answer, wrong)
			}
			_, text := fetch(t, admin+"/metrics")
			if kernel := metric(t, text, `vidi_sandbox{part="kernel",what="landlock"}`); kernel != float64(sandbox.ABI()) {
				t.Errorf("%s: the kernel has %v by the metric, want %d", mode, kernel, sandbox.ABI())
			}
			held := metric(t, text, `vidi_sandbox{part="server",what="landlock"}`)
			if want := map[sandbox.Mode]int{sandbox.Required: sandbox.ABI()}[mode]; held != float64(want) {
				t.Errorf("%s: the metric says %v, want %d", mode, held, want)
			}
			s.cmd.Process.Kill()
			<-s.exited
		}
		_, err := os.Stat(written)
		if there := err == nil; there != (mode == sandbox.Off) {
			t.Errorf("%s: the file was written: %v", mode, there)
		}
	}
}

// Files are exchanged below a server as ever; one that lies elsewhere is told.
func TestAHeldServerSeesChanges(t *testing.T) {
	if sandbox.ABI() == 0 {
		t.Skip("this kernel has no Landlock: nothing holds the server")
	}
	elsewhere, folder := t.TempDir(), t.TempDir()
	for _, version := range []string{"1", "2"} {
		tiny := torchtest.File(t, "build/fixtures/tiny.pt")
		r := vidi(t, nil, "models", "--models", elsewhere, "add", tiny, "--name=tiny", "--version="+version)
		if r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	link := func(name string) {
		t.Helper()
		if err := os.Symlink(filepath.Join(elsewhere, name), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	// What is linked to when the server starts can be read, and what is put there later.
	link("tiny-1.pt")
	s, admin := startAdmin(t, "--models="+folder)
	s.ready(t)
	link("tiny-2.pt")
	if r := operator(t, admin, "swap", "tiny@2"); r.code == 0 || !strings.Contains(r.stderr, "permission denied") {
		t.Errorf("a link to elsewhere: %+v", r)
	}
	if err := os.Remove(filepath.Join(folder, "tiny-2.pt")); err != nil {
		t.Fatal(err)
	}
	put(t, folder, "tiny-2.pt", read(t, filepath.Join(elsewhere, "tiny-2.pt")))
	mustOperate(t, admin, "swap", "tiny@2")
}

// A folder of models that is a link is switched below a running server, as deployments do.
func TestAHeldServerFollowsItsSwitchedFolder(t *testing.T) {
	if sandbox.ABI() == 0 {
		t.Skip("this kernel has no Landlock: nothing holds the server")
	}
	at := t.TempDir()
	for _, version := range []string{"1", "2"} {
		release := filepath.Join(at, "releases", version)
		if err := os.MkdirAll(release, 0o755); err != nil {
			t.Fatal(err)
		}
		tiny := torchtest.File(t, "build/fixtures/tiny.pt")
		r := vidi(t, nil, "models", "--models", release, "add", tiny, "--name=tiny", "--version="+version)
		if r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	outside := filepath.Join(at, "outside")
	if err := os.Rename(filepath.Join(at, "releases/2"), outside); err != nil {
		t.Fatal(err)
	}
	models := filepath.Join(at, "models")
	point := func(to string) {
		t.Helper()
		if err := os.Symlink(to, models+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(models+".new", models); err != nil {
			t.Fatal(err)
		}
	}
	point("releases/1")
	s, admin := startAdmin(t, "--models="+models)
	s.ready(t)
	point("outside")
	if r := operator(t, admin, "swap", "tiny@2"); r.code == 0 {
		t.Errorf("a folder beside the link was read: %+v", r)
	}
	if err := os.Rename(outside, filepath.Join(at, "releases/2")); err != nil {
		t.Fatal(err)
	}
	point("releases/2")
	mustOperate(t, admin, "swap", "tiny@2")
}
