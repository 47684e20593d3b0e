package efivars_test

import (
	"strings"
	"testing"

	"kkeys/efivars"
)

const shimText = "605dab50-e046-4300-abb6-3dd810dd8b23"

var names = map[string]bool{ // file name: is it a variable's
	"MokNew-" + shimText:                            true,
	"Boot0001-8be4df61-93ca-11d2-aa0d-00e098032b8c": true,
	"a-b-" + shimText:                               true,
	"-x-" + shimText:                                true,
	"--" + shimText:                                 true,
	"Grüße-" + shimText:                             true,
	".hidden-" + shimText:                           true,
	"":                                              false,
	shimText:                                        false,
	"-" + shimText:                                  false,
	"MokNew":                                        false,
	"MokNew" + shimText:                             false,
	"MokNew-" + shimText + " ":                      false,
	"MokNew-" + strings.ToUpper(shimText):           false,
	"MokNew-605dab50-e046-4300-abb63dd810dd8b23-": false,
	"MokNew-605dab50 e046-4300-abb6-3dd810dd8b23": false,
	"MokNew-605dab5g-e046-4300-abb6-3dd810dd8b23": false,
	"MokNew-+05dab50-e046-4300-abb6-3dd810dd8b23": false,
	"../MokNew-" + shimText:                       false,
	"Mok\x00New-" + shimText:                      false,
	"Mok\xffNew-" + shimText:                      false,
	strings.Repeat("n", 218) + "-" + shimText:     true,
	strings.Repeat("n", 219) + "-" + shimText:     false,
}

func TestParseName(t *testing.T) {
	for file, valid := range names {
		n, err := efivars.ParseName(file)
		if valid != (err == nil) || valid && n.String() != file || !valid && n != (efivars.Name{}) {
			t.Errorf("%q: %+v, %v", file, n, err)
		}
	}
	if n, _ := efivars.ParseName("MokNew-" + shimText); n != (efivars.Name{Vendor: efivars.Shim, Name: "MokNew"}) {
		t.Errorf("%+v", n)
	}
	if got := efivars.BootEntry(0xab).Name; got != "Boot00AB" {
		t.Error(got)
	}
}

func TestAttributes(t *testing.T) {
	for a, want := range map[efivars.Attributes]string{
		0: "none", 7: "NV|BS|RT", 6: "BS|RT", 3: "NV|BS", 0x27: "NV|BS|RT|AT", 0x107: "NV|BS|RT|unknown",
	} {
		if a.String() != want || a.Writable() != (want == "NV|BS|RT" || want == "NV|BS|RT|AT") {
			t.Errorf("%#x: %s, writable %v", uint32(a), a, a.Writable())
		}
	}
}

func FuzzName(f *testing.F) {
	for file := range names {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file string) {
		n, err := efivars.ParseName(file)
		if err != nil {
			if n != (efivars.Name{}) {
				t.Fatalf("%+v with %v", n, err)
			}
			return
		}
		if n.String() != file || strings.ContainsAny(file, "/\x00") || len(file) > 255 {
			t.Fatalf("%q is %+v", file, n)
		}
	})
}
