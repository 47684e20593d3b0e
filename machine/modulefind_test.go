package machine

import (
	"slices"
	"testing"
	"testing/fstest"
)

func TestFindModule(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	m := &Machine{Files: fstest.MapFS{
		"lib/modules/6.1/kernel/drivers/hid-wacom.ko.xz": {}, "lib/modules/6.1/updates/dkms/hid-wacom.ko": {}, "lib/modules/6.1/kernel/fs/ext4.ko": {},
		"lib/modules/6.1/modules.dep":     file("kernel/fs/ext4.ko: kernel/lib/crc16.ko\nupdates/dkms/hid-wacom.ko: kernel/drivers/hid.ko\n"),
		"lib/modules/6.1/modules.builtin": file("kernel/drivers/tty/n_null.ko\n"),
		"etc/modprobe.d/a.conf":           file("# blacklist hid_wacom\nblacklist hid-wacom\noptions hid_wacom x=1\nblacklist other\n"),
		"lib/modprobe.d/a.conf":           file("install hid_wacom /bin/false\n"), // hidden by the one in /etc
		"lib/modprobe.d/b.conf":           file("install hid_wacom \\\n  /bin/false\ninstall hid_wacom /sbin/modprobe --ignore-install hid_wacom && true x\n"),
		"etc/modprobe.d/readme.txt":       file("blacklist hid_wacom\n"),
	}}
	got, err := m.FindModule("6.1", "hid_wacom")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range got.Files {
		paths = append(paths, f.Path)
	}
	if got.Chosen != "/lib/modules/6.1/updates/dkms/hid-wacom.ko" || got.Builtin || !slices.Equal(paths, []string{"/lib/modules/6.1/kernel/drivers/hid-wacom.ko.xz", got.Chosen}) {
		t.Errorf("%+v", got)
	}
	want := []Rule{
		{"/etc/modprobe.d/a.conf", "blacklist hid-wacom", false, true}, {"/etc/modprobe.d/a.conf", "options hid_wacom x=1", false, false},
		{"/lib/modprobe.d/b.conf", "install hid_wacom    /bin/false", true, false}, {"/lib/modprobe.d/b.conf", "install hid_wacom /sbin/modprobe --ignore-install hid_wacom && true x", false, false},
	}
	if !slices.Equal(got.Rules, want) {
		t.Errorf("%+v", got.Rules)
	}
	if got, err := m.FindModule("6.1", "n_null"); err != nil || !got.Builtin || len(got.Files) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := m.FindModule("6.2", "n_null"); err == nil {
		t.Error("a release that is not there")
	}
}
