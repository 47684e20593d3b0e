package machine

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"kkeys/machine/machinetest"
)

const (
	amd64 = 0x8664
	i386  = 0x14c
)

var text = machinetest.Section{Name: ".text", Content: []byte("the machine code")}

// specimen is an image with two sections and, behind them, a name.
func specimen(machine uint16) []byte {
	return machinetest.Image(machine, text, machinetest.Section{Name: ".a_long_name", Content: []byte("data")})
}

// flip is the image with another byte at this place; a negative one counts from the end.
func flip(image []byte, at int) []byte {
	b := bytes.Clone(image)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	return b
}

// with is the image with this number of 32 bits at this place.
func with(image []byte, at int, n uint32) []byte {
	b := bytes.Clone(image)
	binary.LittleEndian.PutUint32(b[at:], n)
	return b
}

// certified puts these elements into the image's certificate table.
func certified(image []byte, elements ...[]byte) []byte {
	table := bytes.Join(elements, nil)
	b := with(with(image, entryOffset, uint32(len(image))), entryOffset+4, uint32(len(table)))
	return append(b, table...)
}

// Places in the headers of machinetest's PE32+.
const (
	optionalOffset = 88
	entryOffset    = optionalOffset + 112 + 4*8
	firstSection   = optionalOffset + 240
)

// seals are programs, each with what is wrong with its signatures.
func seals() map[string]struct {
	program []byte
	flaw    error
} {
	plain := specimen(amd64)
	size := uint32(len(plain))
	signed := machinetest.Signed(plain, crypto.SHA256)
	two := machinetest.Signed(plain, crypto.SHA256, crypto.SHA256)
	digest := machinetest.Digest(plain, crypto.SHA256)
	one, foreign := machinetest.Signature(crypto.SHA256, digest), machinetest.Signature(crypto.SHA256, flip(digest, 0))
	return map[string]struct {
		program []byte
		flaw    error
	}{
		"signed":                      {signed, nil},
		"signed, 32 bits":             {machinetest.Signed(specimen(i386), crypto.SHA256), nil},
		"signed twice":                {two, nil},
		"signed with SHA-1 too":       {machinetest.Signed(plain, crypto.SHA1, crypto.SHA256), nil},
		"of no sections":              {machinetest.Signed(machinetest.Image(amd64), crypto.SHA256), nil},
		"the checksum":                {flip(signed, machinetest.Checksum+3), nil},
		"padding in an element":       {certified(plain, binary.LittleEndian.AppendUint32(nil, uint32(len(one))), one[4:]), nil},
		"an element of another type":  {certified(plain, machinetest.Certificate(0xef1, make([]byte, 20)), one), nil},
		"sections in another order":   {swapped(plain), nil},
		"unsigned":                    {plain, errUnsigned},
		"unsigned, 32 bits":           {specimen(i386), errUnsigned},
		"only of another type":        {certified(plain, machinetest.Certificate(0xef1, []byte("x"))), errUnsigned},
		"signed with SHA-1":           {machinetest.Signed(plain, crypto.SHA1), errOtherDigest},
		"SHA-1, and damaged":          {flip(machinetest.Signed(plain, crypto.SHA1), machinetest.Headers), errOtherDigest},
		"DOS header":                  {flip(signed, 10), errDamaged},
		"headers":                     {flip(signed, optionalOffset+40), errDamaged},
		"before the checksum":         {flip(signed, machinetest.Checksum-1), errDamaged},
		"after the checksum":          {flip(signed, machinetest.Checksum+4), errDamaged},
		"before the table's entry":    {flip(signed, entryOffset-1), errDamaged},
		"the table's offset":          {flip(signed, entryOffset), errDamaged},
		"the table's offset, high":    {flip(signed, entryOffset+3), errDamaged},
		"the table's size":            {flip(signed, entryOffset+4), errDamaged},
		"the table's size, high":      {flip(signed, entryOffset+7), errDamaged},
		"after the table's entry":     {flip(signed, entryOffset+8), errDamaged},
		"end of the headers":          {flip(signed, machinetest.Headers-1), errDamaged},
		"first byte of a section":     {flip(signed, machinetest.Headers), errDamaged},
		"last byte of a section":      {flip(signed, machinetest.Headers+len(text.Content)-1), errDamaged},
		"after the sections":          {flip(signed, len(plain)-1), errDamaged},
		"32 bits, headers":            {flip(machinetest.Signed(specimen(i386), crypto.SHA256), 50), errDamaged},
		"the element's length":        {flip(signed, len(plain)+3), errDamaged},
		"the signature's first byte":  {flip(signed, len(plain)+8), errDamaged},
		"the signed digest":           {flip(signed, bytes.Index(signed, digest)), errDamaged},
		"signed for another":          {certified(plain, foreign), errDamaged},
		"one of two for another":      {certified(plain, one, foreign), errDamaged},
		"one of two unreadable":       {certified(plain, one, machinetest.Certificate(2, []byte("x"))), errDamaged},
		"an empty signature":          {certified(plain, machinetest.Certificate(2, nil)), errDamaged},
		"table cut":                   {signed[:len(signed)-8], errDamaged},
		"table gone":                  {signed[:len(plain)], errDamaged},
		"an element cut":              {certified(plain, one[:len(one)-8]), errDamaged},
		"less than an element's head": {certified(plain, one, []byte{1, 2, 3, 4}), errDamaged},
		"an element of no bytes":      {certified(plain, one, make([]byte, 8)), errDamaged},
		"bytes behind the table":      {append(bytes.Clone(signed), 0), errDamaged},
		"table over a section":        {with(with(signed, entryOffset, machinetest.Headers), entryOffset+4, uint32(len(signed)-machinetest.Headers)), errDamaged},
		"table outside":               {with(plain, entryOffset, size+1), errDamaged},
		"table at the end":            {with(with(plain, entryOffset, size), entryOffset+4, 8), errDamaged},
		"section outside":             {with(plain, firstSection+16, size), errDamaged},
		"section far outside":         {with(plain, firstSection+16, 1<<32-1), errDamaged},
		"section in the headers":      {with(plain, firstSection+20, machinetest.Headers-1), errDamaged},
		"sections longer than all":    {with(with(plain, firstSection+16, size-machinetest.Headers), firstSection+56, size-machinetest.Headers-16), errDamaged},
		"headers longer than all":     {with(plain, optionalOffset+60, size+1), errDamaged},
		"headers without sections":    {with(plain, optionalOffset+60, firstSection), errDamaged},
		"no optional header":          {with(plain, 84, 0), errDamaged},
		"no DOS header":               {with(plain[68:], 8, 0), errDamaged},
		"four data directories":       {withDirectories(plain, 4), errDamaged},
		"17 data directories":         {withDirectories(plain, 17), errDamaged},
		"all signatures zero":         {append(bytes.Clone(signed[:len(plain)]), make([]byte, len(signed)-len(plain))...), errNotJudged},
	}
}

// swapped has the headers of its two sections in the other order; they are hashed as they lie in the file.
func swapped(image []byte) []byte {
	b := bytes.Clone(image)
	copy(b[firstSection:], image[firstSection+40:firstSection+80])
	copy(b[firstSection+40:], image[firstSection:firstSection+40])
	return machinetest.Signed(b, crypto.SHA256)
}

// withDirectories has another number of data directories; as it has sections, their headers move.
func withDirectories(image []byte, n int) []byte {
	b := with(image, optionalOffset+108, uint32(n))
	binary.LittleEndian.PutUint16(b[84:], uint16(112+8*n))
	copy(b[optionalOffset+112+8*n:], image[firstSection:firstSection+80])
	return b
}

func TestCheckSignatures(t *testing.T) {
	for name, c := range seals() {
		t.Run(name, func(t *testing.T) {
			program, err := parseLoader(c.program)
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(program.flaw, c.flaw) || (c.flaw == nil) != (program.flaw == nil) {
				t.Errorf("%v, want %v", program.flaw, c.flaw)
			}
		})
	}
}

// A change of any byte of a signed program is seen, but for the checksum and what of the table says nothing about the content.
func TestAnyByte(t *testing.T) {
	plain := specimen(amd64)
	signed := machinetest.Signed(plain, crypto.SHA256)
	for at := range plain {
		program, err := parseLoader(flip(signed, at))
		seen := err != nil || errors.Is(program.flaw, errDamaged)
		if inChecksum := at >= machinetest.Checksum && at < machinetest.Checksum+4; seen == inChecksum {
			t.Errorf("byte %d: %v, %v", at, err, program.flaw)
		}
	}
}

// A program beyond the bound is not judged by its beginning.
func TestTooLarge(t *testing.T) {
	made := machinetest.Installed(t)
	made.ESP(`\EFI\large.efi`, append(machinetest.Program(amd64, ".text"), make([]byte, loaderMax)...))
	made.ESP(`\EFI\fits.efi`, machinetest.Signed(machinetest.Image(amd64, machinetest.Section{Name: ".text", Content: make([]byte, loaderMax-4096)}), crypto.SHA256))
	for path, want := range map[string]error{"boot/efi/EFI/large.efi": errNotJudged, "boot/efi/EFI/fits.efi": nil} {
		program, err := in(t, made).inspect(path)
		if err != nil || !errors.Is(program.flaw, want) || (want == nil) != (program.flaw == nil) {
			t.Errorf("%s: %v, %v", path, err, program.flaw)
		}
	}
}

// FuzzLoader: a program has an architecture, its flaw is one of those known, and one without a flaw has one when bytes are added.
func FuzzLoader(f *testing.F) {
	seeds := seals()
	if len(seeds) < 50 {
		f.Fatalf("only %d seeds", len(seeds))
	}
	for _, seed := range seeds {
		f.Add(seed.program)
	}
	f.Add(machinetest.Shim(machinetest.VendorSection(nil, nil)))
	f.Add(machinetest.Program(0xaa64, ".text"))
	flaws := []error{errUnsigned, errOtherDigest, errDamaged, errNotJudged}
	f.Fuzz(func(t *testing.T, data []byte) {
		program, err := parseLoader(data)
		if (err == nil) != (program.arch != "") || err != nil && program != (loader{}) {
			t.Fatalf("%+v, %v", program, err)
		}
		if program.flaw != nil && !slices.ContainsFunc(flaws, func(known error) bool { return errors.Is(program.flaw, known) }) {
			t.Errorf("flaw %v", program.flaw)
		}
		if err == nil && program.flaw == nil {
			if longer, err := parseLoader(append(bytes.Clone(data), 0)); err == nil && longer.flaw == nil {
				t.Error("a byte more makes no difference")
			}
		}
	})
}

// FuzzSignedDigests: nothing beside an error, and each digest lies in the table.
func FuzzSignedDigests(f *testing.F) {
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		f.Add(machinetest.Signature(hash, make([]byte, hash.Size())))
	}
	f.Add(append(machinetest.Certificate(0xef1, []byte("x")), machinetest.Signature(crypto.SHA256, nil)...))
	f.Fuzz(func(t *testing.T, table []byte) {
		digests, err := signedDigests(table, 0)
		if err != nil && (digests != nil || !errors.Is(err, errDamaged)) {
			t.Errorf("%d digests, %v", len(digests), err)
		}
		if len(digests) > len(table)/8 {
			t.Errorf("%d digests in %d bytes", len(digests), len(table))
		}
		for _, d := range digests {
			if !bytes.Contains(table, d.digest) || len(d.algorithm) == 0 {
				t.Errorf("%v %x is not in the table", d.algorithm, d.digest)
			}
		}
	})
}
