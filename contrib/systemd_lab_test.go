//go:build lab

package contrib_test

import (
	"strings"
	"testing"
)

// systemd's own checks: the units are right, and of what a service can be denied this one is denied enough (systemd-analyze security; 0 is best, 10 worst).
func TestLabUnits(t *testing.T) {
	h := host(t, "units", "6.12-enrolled.kks")
	names := []string{"/etc/systemd/system/kkeys-audit.service", "/etc/systemd/system/kkeys-audit.timer"}
	h.Write(t, names[0], read(t, "prometheus/kkeys-audit.service"), 0o644)
	h.Write(t, names[1], read(t, "prometheus/kkeys-audit.timer"), 0o644)
	verify := func(names ...string) (string, int) {
		out, errs, code := run(t, h.Command(t, "/usr/bin/systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, names...)...))
		return out + errs, code
	}
	if said, code := verify(names...); code != 0 || said != "" {
		t.Errorf("systemd-analyze verify: exit code %d\n%s", code, said)
	}
	wrong := strings.Replace(string(read(t, "prometheus/kkeys-audit.service")), "ProtectSystem=", "ProtectSytem=", 1)
	h.Write(t, "/etc/systemd/system/wrong.service", []byte(wrong), 0o644)
	if said, _ := verify("/etc/systemd/system/wrong.service"); !strings.Contains(said, "ProtectSytem") {
		t.Errorf("systemd-analyze verify does not look: %q", said)
	}
	if out, errs, code := run(t, h.Command(t, "/usr/bin/systemd-analyze", "security", "--offline=true", "--threshold=40", "--no-pager", names[0])); code != 0 {
		t.Errorf("systemd-analyze security: exit code %d\n%s%s", code, out, errs)
	}
}
