package machine

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/mok"
)

// InShim is where [Machine.VendorCertificates] found what it gives.
const InShim = "vendor"

// VendorCertificates gives the certificates that are built into the shim which started this system. shim puts them in front of MokListRT,
// so the operating system cannot tell from that list which are the vendor's and which the owner has enrolled; those in here are the
// vendor's. When the boot entry does not lead to a shim, all those on the mounted EFI system partitions are read.
//
// A machine without EFI, or without a shim, has none, and that is no error.
func (m *Machine) VendorCertificates() (found []Found, unseen []NotSeen) {
	shims, err := m.shims()
	if err != nil {
		return nil, []NotSeen{{"shim's own certificates", err}}
	}
	for _, s := range shims {
		for _, c := range s.certificates {
			found = append(found, Found{c, InShim})
		}
		if s.err != nil {
			unseen = append(unseen, NotSeen{"/" + s.path, s.err})
		}
	}
	return found, unseen
}

// Vendor gives all that is built into the shim which started this system, certificates and what it forbids; see [Machine.VendorCertificates].
func (m *Machine) Vendor() (v mok.Vendor) {
	shims, err := m.shims()
	v.Err = err
	for _, s := range shims {
		for _, c := range s.certificates {
			v.Allowed = append(v.Allowed, c.Raw)
		}
		lists, err := efivars.ParseSignatureLists(s.forbidden)
		v.Forbidden = append(v.Forbidden, lists...)
		if err = errors.Join(s.err, err); err != nil {
			v.Err = errors.Join(v.Err, fmt.Errorf("/%s: %w", s.path, err))
		}
	}
	return v
}

// shimProgram is what is built into a shim, and what was wrong with it.
type shimProgram struct {
	path         string // below the root
	certificates []*certs.Certificate
	forbidden    []byte
	err          error
}

// shims gives the shim that started this system, or, where it is not known which that was, all that there are.
func (m *Machine) shims() ([]shimProgram, error) {
	if shim := mok.ReadState(m.Variables, m.Files).Shim; shim.Answer != evidence.Yes {
		return nil, nil
	}
	booted, err := m.booted()
	if err == nil {
		s := m.shim(booted)
		switch {
		case s.err == nil, errors.Is(s.err, errVendor):
			return []shimProgram{s}, nil
		case !errors.Is(s.err, errNoShim): // else another program was started first
			err = s.err
		}
	}
	paths, err := m.otherShims(err)
	if err != nil {
		return nil, err
	}
	var all []shimProgram
	for _, p := range paths {
		if s := m.shim(p); !errors.Is(s.err, errNoShim) {
			all = append(all, s)
		}
	}
	return all, nil
}

func (m *Machine) shim(p string) shimProgram {
	s := shimProgram{path: p}
	program, err := m.read(p, loaderMax)
	if err != nil {
		s.err = err
		return s
	}
	ders, forbidden, err := parseVendor(program)
	if err != nil {
		s.err = err
		return s
	}
	s.forbidden = forbidden
	for i, der := range ders {
		c, err := certs.ParseDER(der)
		if err != nil {
			return shimProgram{path: p, err: fmt.Errorf("%w: certificate %d: %w", errVendor, i+1, err)}
		}
		s.certificates = append(s.certificates, c)
	}
	return s
}

// otherShims gives the paths of all programs that may be shim, where the one that started this system was not found, or was none; why says why.
func (m *Machine) otherShims(why error) ([]string, error) {
	if errors.Is(why, fs.ErrPermission) {
		return nil, why
	}
	mounts, e := m.mounts()
	if e != nil {
		return nil, errors.Join(why, e)
	}
	var paths []string
	for _, mount := range mounts {
		if mount.kind != "vfat" {
			continue
		}
		more, e := m.shimsBelow(mount.dir)
		if e != nil {
			return nil, e
		}
		paths = append(paths, more...)
	}
	if len(paths) == 0 {
		return nil, why
	}
	return paths, nil
}

// booted is the path of the program that the firmware started (BootCurrent).
func (m *Machine) booted() (string, error) {
	_, data, err := m.Variables.Get(efivars.BootCurrent)
	if err != nil {
		return "", err
	}
	number, err := efivars.ParseBootNumber(data)
	if err != nil {
		return "", fmt.Errorf("BootCurrent: %w", err)
	}
	name := efivars.BootEntry(number)
	_, data, err = m.Variables.Get(name)
	if err != nil {
		return "", err
	}
	option, err := efivars.ParseLoadOption(data)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name.Name, err)
	}
	dir, file, err := m.program(candidate{name: name.Name, option: option, current: true})
	if err != nil {
		return "", fmt.Errorf("%s: %w", name.Name, err)
	}
	return m.find(dir, file)
}

// shimsBelow gives the programs that may be shim by their names, in the folders of an EFI system partition: shim*.efi, and the fallback
// path BOOT*.EFI. FAT does not tell capitals from small letters.
func (m *Machine) shimsBelow(esp string) (paths []string, err error) {
	efi, err := m.find(esp, "EFI")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	folders, err := m.names(efi)
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		names, err := m.names(path.Join(efi, folder))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			low := strings.ToLower(name)
			if strings.HasSuffix(low, ".efi") && (strings.HasPrefix(low, "shim") || strings.HasPrefix(low, "boot")) {
				paths = append(paths, path.Join(efi, folder, name))
			}
		}
	}
	return paths, nil
}

// What is wrong with a program whose section .vendor_cert was looked for.
var (
	errNoShim = errors.New("no shim: it has no section .vendor_cert")
	errVendor = errors.New("damaged section .vendor_cert")
)

// parseVendor gives the certificates in shim's section .vendor_cert (shim's cert.S and mok.c). It begins with four numbers of 32 bits:
// the sizes of what is allowed and of what is forbidden, then where each begins, counted from the start of the section. What is allowed
// is one DER certificate, which begins with 30 82, or signature lists; what is forbidden is given as it is.
func parseVendor(program []byte) (ders [][]byte, forbidden []byte, err error) {
	file, err := pe.NewFile(bytes.NewReader(program))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoShim, err)
	}
	defer file.Close()
	section := file.Section(".vendor_cert")
	if section == nil {
		section = file.Section(".vendor_") // cut to 8 bytes, without a string table
	}
	if section == nil {
		return nil, nil, errNoShim
	}
	content, err := section.Data()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errVendor, err)
	}
	return parseVendorSection(content)
}

const vendorHeader = 16

func parseVendorSection(content []byte) (ders [][]byte, forbidden []byte, err error) {
	if len(content) < vendorHeader {
		return nil, nil, fmt.Errorf("%w: %d bytes instead of at least %d", errVendor, len(content), vendorHeader)
	}
	number := func(i int) int64 { return int64(binary.LittleEndian.Uint32(content[4*i:])) }
	part := func(what string, size, offset int64) ([]byte, error) {
		switch {
		case size == 0:
			return nil, nil
		case offset < vendorHeader || offset+size > int64(len(content)):
			return nil, fmt.Errorf("%w: %s are %d bytes at %d, outside of its %d bytes", errVendor, what, size, offset, len(content))
		}
		return content[offset : offset+size], nil
	}
	allowed, err := part("the certificates", number(0), number(2))
	if err != nil {
		return nil, nil, err
	}
	if forbidden, err = part("the revocations", number(1), number(3)); err != nil {
		return nil, nil, err
	}
	if bytes.HasPrefix(allowed, []byte{0x30, 0x82}) {
		return [][]byte{allowed}, forbidden, nil
	}
	lists, err := efivars.ParseSignatureLists(allowed)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errVendor, err)
	}
	for _, list := range lists {
		if list.Type != efivars.X509 {
			continue
		}
		for _, signature := range list.Signatures {
			ders = append(ders, signature.Data)
		}
	}
	return ders, forbidden, nil
}
