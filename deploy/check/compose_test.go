package check

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// project is docker-compose.yml as `docker compose` sees it where the variables are set.
func project(t testing.TB, variables ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")},
		cli.WithWorkingDirectory(root), cli.WithEnv(variables), cli.WithProfiles([]string{"monitoring"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// examples are the lines of .env.example, with their comment signs taken off.
func examples(t testing.TB) []string {
	t.Helper()
	var lines []string
	for _, match := range regexp.MustCompile(`(?m)^#?([A-Z_]+=.*)$`).FindAllStringSubmatch(read(t, ".env.example"), -1) {
		lines = append(lines, match[1])
	}
	if len(lines) < 10 {
		t.Fatalf(".env.example has %d settings", len(lines))
	}
	return lines
}

func duration(t testing.TB, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func value(s types.ServiceConfig, name string) string {
	if v := s.Environment[name]; v != nil {
		return *v
	}
	return ""
}

func TestComposeIsLockedDown(t *testing.T) {
	for name, p := range map[string]*types.Project{"without .env": project(t), "with all of .env.example": project(t, examples(t)...)} {
		t.Run(name, func(t *testing.T) {
			if len(p.Services) != 3 {
				t.Fatalf("services: %v", p.ServiceNames())
			}
			for name, s := range p.Services {
				if !s.ReadOnly || s.Privileged || len(s.CapAdd) > 0 || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
					t.Errorf("%s is not locked down", name)
				}
				if s.MemLimit <= 0 || s.CPUS <= 0 || s.PidsLimit <= 0 || s.Restart != "unless-stopped" {
					t.Errorf("%s has memory %d, CPUs %v, processes %d, restart %q", name, s.MemLimit, s.CPUS, s.PidsLimit, s.Restart)
				}
				for _, port := range s.Ports {
					if port.HostIP != "127.0.0.1" || port.Target == 5001 || port.Target == 9090 {
						t.Errorf("%s publishes %+v", name, port)
					}
				}
				if name != "vidi" && !regexp.MustCompile(`:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
					t.Errorf("%s runs %s, which is not one version", name, s.Image)
				}
				for _, v := range s.Volumes {
					own := slices.Contains([]string{filepath.Join(root, "models"), filepath.Join(root, "keys")}, v.Source)
					if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && !own && err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if v.Type == types.VolumeTypeBind && !v.ReadOnly {
						t.Errorf("%s may write into %s", name, v.Source)
					}
				}
			}
		})
	}
	if port := project(t, "PUBLISH=5000").Services["vidi"].Ports; len(port) != 1 || port[0].HostIP != "" || port[0].Published != "5000" || port[0].Target != 5000 {
		t.Errorf("PUBLISH=5000 gives %+v", port)
	}
}

func TestComposeFitsTheImage(t *testing.T) {
	i, s := dockerfile(t), project(t).Services["vidi"]
	if s.Build == nil || s.Build.Context != root {
		t.Errorf("it builds %+v", s.Build)
	}
	if want := i.health; !slices.Equal(s.HealthCheck.Test, want) {
		t.Errorf("the health check is %q, the image's is %q", s.HealthCheck.Test, want)
	}
	// A variable that is named without a value, and not set, is taken out of the image's environment.
	for name, v := range s.Environment {
		if _, there := i.env[name]; there && v == nil {
			t.Errorf("%s is the image's own, and would be taken out of it", name)
		}
	}
	areFlags(t, "docker-compose.yml", func() (names []string) {
		for name := range s.Environment {
			names = append(names, name)
		}
		return
	}()...)
	targets := map[string]bool{}
	for _, v := range s.Volumes {
		targets[v.Target] = true
	}
	if !targets[modelsFolder(t, i)] {
		t.Errorf("own models are mounted at none of %v, but the image looks for them in %s", targets, modelsFolder(t, i))
	}
}

// modelsFolder is where the image looks for a user's own models.
func modelsFolder(t testing.TB, i image) string {
	t.Helper()
	folder := i.env["VIDI_MODELS"]
	if folder == "" {
		t.Fatal("the image does not set VIDI_MODELS")
	}
	return folder
}

func TestComposeStopsInTime(t *testing.T) {
	s := project(t).Services["vidi"]
	needed := duration(t, value(s, "VIDI_DRAIN_DELAY")) + duration(t, value(s, "VIDI_GRACE"))
	if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < needed+5*time.Second {
		t.Errorf("a stop may take %v, and gets %v", needed, s.StopGracePeriod)
	}
	if nofile := s.Ulimits["nofile"]; nofile == nil || nofile.Single < 65536 {
		t.Errorf("open files: %+v", nofile)
	}
	// `vidi doctor` asks for the resident memory, --decode-memory and 256 MiB.
	if rest := int64(s.MemLimit) - 1<<30 - 256<<20; rest < 400<<20 || s.MemSwapLimit != s.MemLimit {
		t.Errorf("%d MiB remain for the model, and swap is %d", rest>>20, s.MemSwapLimit)
	}
}

// What .env.example offers is what the compose file reads, and no more.
func TestEnvExampleIsComplete(t *testing.T) {
	text := read(t, "docker-compose.yml")
	wanted := map[string]bool{}
	for _, match := range regexp.MustCompile(`\$\{([A-Z_]+)`).FindAllStringSubmatch(text, -1) {
		wanted[match[1]] = true
	}
	for _, match := range regexp.MustCompile(`(?m)^ +- (VIDI_[A-Z_]+)$`).FindAllStringSubmatch(text, -1) {
		wanted[match[1]] = true
	}
	offered := map[string]bool{}
	for _, line := range examples(t) {
		name, _, _ := strings.Cut(line, "=")
		offered[name] = true
		if !wanted[name] {
			t.Errorf(".env.example offers %s, which docker-compose.yml does not read", name)
		}
	}
	for name := range wanted {
		if !offered[name] {
			t.Errorf(".env.example lacks %s", name)
		}
	}
	// Where nothing is set, what the comments call a default must be one.
	with, without := project(t, slices.DeleteFunc(examples(t), isExample)...), project(t)
	for name, v := range with.Services["vidi"].Environment {
		if was := without.Services["vidi"].Environment[name]; was != nil && *was != *v {
			t.Errorf("%s is %q without .env, and %q is said to be the default", name, *was, *v)
		}
	}
	if a, b := with.Services["vidi"], without.Services["vidi"]; a.MemLimit != b.MemLimit || a.CPUS != b.CPUS || a.Image != b.Image || a.Ports[0].HostIP != b.Ports[0].HostIP || a.Ports[0].Published != b.Ports[0].Published {
		t.Errorf("the defaults in .env.example are not those of docker-compose.yml")
	}
}

func isExample(line string) bool {
	name, _, _ := strings.Cut(line, "=")
	return slices.Contains([]string{"KEYS_FOLDER", "VIDI_KEYS", "OWN_MODELS", "VIDI_MODEL", "VIDI_CORS_ORIGIN"}, name)
}

// The line of docs/compose.md that makes a key, with the program in place of its container.
func TestComposeKeyLine(t *testing.T) {
	line := regexp.MustCompile(`(?m)^    (docker compose run .* keys new .*)$`).FindStringSubmatch(read(t, "docs/compose.md"))
	if line == nil {
		t.Fatal("docs/compose.md has no line that makes a key")
	}
	program := filepath.Join(root, "bin/vidi")
	command := strings.Replace(line[1], "docker compose run --rm -T -e VIDI_KEYS= vidi", "VIDI_KEYS= "+program, 1)
	sh := exec.Command("sh", "-euc", "mkdir -p keys; "+command+"; "+program+" keys list --keys keys/keys; cat webshop.key")
	sh.Dir = t.TempDir()
	out, err := sh.CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?s)webshop +infer .*\nvidi_[a-z0-9]+\n$`).Match(out) {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
}
