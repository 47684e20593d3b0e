package machine

import (
	"slices"
	"testing"
)

// TestBuiltModules: what DKMS would make of a setting with a shell is not guessed.
func TestBuiltModules(t *testing.T) {
	for _, c := range []struct {
		conf string
		want []string
	}{
		{"PACKAGE_NAME=\"zfs\"\nPACKAGE_VERSION=2\n", []string{"zfs"}},
		{"PACKAGE_NAME=v4l2loopback\nBUILT_MODULE_NAME[0]=\"$PACKAGE_NAME\"\n", []string{"v4l2loopback"}},
		{"PACKAGE_NAME=nvidia\nBUILT_MODULE_NAME[0]=\"nvidia\"\nBUILT_MODULE_NAME[1]=\"nvidia-drm\"\n", []string{"nvidia", "nvidia_drm"}},
		{"PACKAGE_NAME=a\nBUILT_MODULE_NAME[0]=\"$(ls)\"\nBUILT_MODULE_NAME[1]=../x\n", nil},
		{"PACKAGE_NAME=a\nBUILT_MODULE_NAME[0]=\"${other}\"\nBUILT_MODULE_NAME[1]=b\n", []string{"b"}},
		{"", nil},
	} {
		if got := builtModules(c.conf); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.conf, got, c.want)
		}
	}
}
