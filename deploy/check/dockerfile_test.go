package check

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// image is what the Dockerfile's last stage says of the image.
type image struct {
	env             map[string]string
	ports           []string
	user            string
	entrypoint, cmd []string
	health          []string
	volumes, stages []string
	bases           map[string]string // stage by stage, what it is built on
}

// dockerfile is the Dockerfile as BuildKit, which builds it, understands it.
func dockerfile(t testing.TB) image {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(read(t, "Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := image{env: map[string]string{}, bases: map[string]string{}}
	for _, s := range stages {
		i.stages = append(i.stages, s.Name)
		i.bases[s.Name] = s.BaseName
	}
	for _, command := range stages[len(stages)-1].Commands {
		switch c := command.(type) {
		case *instructions.EnvCommand:
			for _, pair := range c.Env {
				i.env[pair.Key] = strings.Trim(pair.Value, `"`)
			}
		case *instructions.ExposeCommand:
			i.ports = append(i.ports, c.Ports...)
		case *instructions.UserCommand:
			i.user = c.User
		case *instructions.EntrypointCommand:
			i.entrypoint = c.CmdLine
		case *instructions.CmdCommand:
			i.cmd = c.CmdLine
		case *instructions.HealthCheckCommand:
			i.health = c.Health.Test
		case *instructions.VolumeCommand:
			i.volumes = append(i.volumes, c.Volumes...)
		}
	}
	return i
}

func TestDockerfile(t *testing.T) {
	i := dockerfile(t)
	for stage, base := range i.bases {
		if slices.Contains(i.stages, base) || base == "scratch" {
			continue
		}
		if !regexp.MustCompile(`:[^:/$]*[0-9a-z]`).MatchString(base) || strings.HasSuffix(base, ":latest") {
			t.Errorf("stage %q is built on %s, which has no tag of its own: it would be another image on another day", stage, base)
		}
	}
	var names []string
	for name := range i.env {
		if strings.HasPrefix(name, "VIDI_") {
			names = append(names, name)
		}
	}
	areFlags(t, "the Dockerfile", names...)
	if i.env["VIDI_ADDR"] != "0.0.0.0:5000" {
		t.Errorf("the image listens on %q", i.env["VIDI_ADDR"])
	}
	if !slices.Contains(i.ports, "5000") && !slices.Contains(i.ports, "5000/tcp") {
		t.Errorf("the image exposes %v, and 5000 is where it listens", i.ports)
	}
	if !regexp.MustCompile(`^[1-9][0-9]*(:[1-9][0-9]*)?$`).MatchString(i.user) {
		t.Errorf("the image's user is %q; Kubernetes' runAsNonRoot needs a number, and not 0", i.user)
	}
	if len(i.health) < 3 || i.health[0] != "CMD" || i.health[len(i.health)-1] != "health" {
		t.Errorf("the image's health check is %q, not `vidi health`, without a shell", i.health)
	}
	if len(i.entrypoint) == 0 || !slices.Equal(i.cmd, []string{"serve"}) {
		t.Errorf("the image starts %q %q: `docker run IMAGE keys new …` needs vidi as the entry point, and serve as the command", i.entrypoint, i.cmd)
	}
}
