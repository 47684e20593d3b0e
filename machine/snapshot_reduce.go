package machine

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"slices"
	"strings"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/kernel"
	"kkeys/mok"
)

// What is left of a source that holds more than a snapshot may.

// parameters are those that a recorded command line keeps (Documentation/admin-guide/kernel-parameters.txt).
var parameters = []string{
	"module.sig_enforce", "lockdown", "ca_keys", "efi", "efi_no_storage_paranoia", "ima_appraise", "ima_appraise_tcb", "ima_hash", "ima_policy", "ima_tcb",
}

// reduceCommandLine keeps the parameters that decide something here; the rest may hold passwords.
func reduceCommandLine(r io.Reader) ([]byte, error) {
	all, err := kernel.ParseParameters(r)
	if err != nil {
		return nil, err
	}
	return []byte(kept(all).String() + "\n"), nil
}

func kept(all kernel.Parameters) kernel.Parameters {
	return slices.DeleteFunc(all, func(p kernel.Parameter) bool { return !slices.ContainsFunc(parameters, p.Is) })
}

// keptParameters does the same to the value of CONFIG_CMDLINE; of one that is no command line nothing is left.
func keptParameters(line string) string {
	all, err := kernel.ParseParameters(strings.NewReader(line))
	if err != nil {
		return ""
	}
	return kept(all).String()
}

// reduceModules keeps names and taints.
func reduceModules(r io.Reader) ([]byte, error) {
	loaded, err := kernel.ParseLoaded(r)
	if err != nil {
		return nil, err
	}
	return []byte(kernel.LoadedText(loaded)), nil
}

// reduceSymbols keeps that the table is there, and the symbols looked for, without addresses.
func reduceSymbols(r io.Reader) ([]byte, error) {
	found, err := kernel.ParseSymbols(r)
	if err != nil {
		return nil, err
	}
	text := "0000000000000000 T _text\n"
	for _, name := range kernel.SymbolNames {
		if found[name] {
			text += "0000000000000000 T " + name + "\n"
		}
	}
	return []byte(text), nil
}

// reducePolicy keeps the rule of an IMA policy that is about modules.
func reducePolicy(r io.Reader) ([]byte, error) {
	rule, err := kernel.ModuleRule(r)
	if err != nil || rule == "" {
		return nil, err
	}
	return []byte(rule + "\n"), nil
}

// configSecrets are options whose values are the builder's own affair, each with what is left of it.
var configSecrets = map[string]func(value string) string{
	"CONFIG_CMDLINE":          func(value string) string { return `"` + keptParameters(strings.Trim(value, `"`)) + `"` },
	"CONFIG_DEFAULT_HOSTNAME": func(string) string { return `""` },
	"CONFIG_MODULE_SIG_KEY":   hidePIN,
	"CONFIG_BUILD_SALT":       func(string) string { return `""` },
}

// hidePIN keeps a file's path; a PKCS#11 URI may hold the PIN (RFC 7512, pin-value).
func hidePIN(value string) string {
	if strings.HasPrefix(strings.Trim(value, `"`), "pkcs11:") {
		return `"pkcs11:"`
	}
	return value
}

func reduceConfig(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(text)) {
		if option, value, ok := strings.Cut(line, "="); ok {
			if reduce := configSecrets[option]; reduce != nil {
				line = option + "=" + reduce(strings.TrimRight(value, "\r\n")) + "\n"
			}
		}
		out.WriteString(line)
	}
	return out.Bytes(), nil
}

// reducePackedConfig does the same to /proc/config.gz.
func reducePackedConfig(r io.Reader) ([]byte, error) {
	unpacked, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	text, err := reduceConfig(io.LimitReader(unpacked, recordMax))
	if err != nil {
		return nil, err
	}
	return packed(text)
}

func packed(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.NoCompression) // the snapshot itself is compressed
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// reduceImage keeps the certificates of a kernel image, one after the other in a gzip file, in which [certs.SearchImage] finds them again.
func reduceImage(r io.Reader) ([]byte, error) {
	found, err := certs.SearchImage(r)
	if err != nil {
		return nil, err
	}
	var ders []byte
	for _, c := range found {
		ders = append(ders, c.Raw...)
	}
	return packed(ders)
}

// reduceCertificates keeps certificates only: text around PEM blocks may be anything. A file that holds something else is an error.
func reduceCertificates(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	found, err := certs.Decode(data)
	if err != nil {
		return nil, err
	}
	if len(found) == 1 && bytes.Equal(found[0].Raw, data) {
		return data, nil
	}
	var out bytes.Buffer
	for _, c := range found {
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// reduceDKMS keeps the paths of the two settings that are looked at; comments, PINs and what is no plain path go.
func reduceDKMS(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		told, err := parseDKMS([]byte(line))
		switch {
		case name != "mok_certificate" && name != "mok_signing_key":
		case strings.Contains(value, "pkcs11:"):
			out.WriteString(name + "=pkcs11:\n")
		case err == nil && len(told) == 1:
			out.WriteString(name + "=/" + told[0].pattern + "\n")
		case err != nil: // what is no plain path stays something that is none
			out.WriteString(name + "=?\n")
		}
	}
	return out.Bytes(), nil
}

// errPrivate: a source that should hold nothing of the sort has a private key in it.
var errPrivate = errors.New("it holds a private key, so nothing of it was recorded")

// checkPublic is the last look at everything that goes into a snapshot.
func checkPublic(data []byte) error {
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return errPrivate
	}
	return nil
}

// blankAuth takes hash and salt out of a password record and leaves its size, and, in a record of the usual form, method and rounds. A
// record that was not all zeros does not become so: MokPW of zeros is the request to clear the password.
func blankAuth(data []byte) []byte {
	blank := make([]byte, len(data))
	if a, err := mok.ParseAuth(data); err == nil {
		a.Salt, a.Hash = make([]byte, len(a.Salt)), make([]byte, len(a.Hash))
		if encoded, err := a.Encode(); err == nil {
			blank = encoded
		}
	}
	if len(bytes.Trim(data, "\x00")) > 0 && len(bytes.Trim(blank, "\x00")) == 0 {
		blank[len(blank)-1] = 0xff
	}
	return blank
}

// switchHead is state and length before the clear password of MokSB, MokDB and MokListTrustedNew (shim's MokVars.txt).
const switchHead = 8

func blankSwitch(data []byte) []byte {
	blank := make([]byte, len(data))
	if len(data) == 40 {
		copy(blank, data[:switchHead])
	}
	return blank
}

// reduceBootEntry takes out what a boot entry hands to its program, often a kernel command line, the device paths after the first, and the
// address in a URI node, which may hold a password.
func reduceBootEntry(data []byte) []byte {
	o, err := efivars.ParseLoadOption(data)
	if err != nil {
		return brokenBootEntry(data, err)
	}
	o.Data = nil
	size := 4 // of the first path, its end included
	for i, n := range o.Path {
		if n.Type == 3 && n.SubType == 24 { // messaging, URI: UEFI 2.10 section 10.3.4.22
			o.Path[i].Data = nil
		}
		size += 4 + len(o.Path[i].Data)
	}
	reduced, err := o.Encode()
	if err != nil {
		return nil // what was read always fits
	}
	all := int(binary.LittleEndian.Uint16(reduced[4:])) // FilePathListLength
	binary.LittleEndian.PutUint16(reduced[4:], uint16(size))
	return reduced[:len(reduced)-all+size]
}

// brokenBootEntry keeps of an entry that cannot be read the part up to the break, with zeros behind it if that leaves the error as it is.
func brokenBootEntry(data []byte, err error) []byte {
	var corrupt *efivars.CorruptError
	if !errors.As(err, &corrupt) {
		return nil
	}
	at := corrupt.Offset + 4 // where a size is wrong, the size
	if corrupt.Offset < 6 {  // in the header: the description, which comes next, is not the secret
		for at = 6; at+1 < len(data) && (data[at] != 0 || data[at+1] != 0); at += 2 {
		}
		at += 2
	}
	blank := make([]byte, len(data))
	copy(blank, data[:min(len(data), at)])
	if _, again := efivars.ParseLoadOption(blank); again != nil && again.Error() == err.Error() {
		return blank
	}
	return data[:min(len(data), corrupt.Offset)]
}
