package certs

import (
	"encoding/asn1"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Request is what a configuration for `openssl req -x509` asks for.
type Request struct {
	// Kind is that of the key, as [NewKey] names it.
	Kind string
	// Spec lacks only the validity.
	Spec Spec
}

// ParseRequest reads the kernel's certs/x509.genkey (its own certs/default_x509.genkey, or one's own as in Documentation/admin-guide/module-signing.rst) as
// this command does, with OpenSSL 3:
//
//	openssl req -new -nodes -utf8 -sha256 -days 36500 -batch -x509 -config x509.genkey -outform PEM -out kernel_key.pem -keyout kernel_key.pem
//
// That is the sections req, distinguished_name and x509_extensions. What is not understood is a *ConfigError (ErrConfig), so that nothing that the file asks for is
// left out unsaid.
func ParseRequest(data []byte) (Request, error) {
	all, err := sections(data)
	if err != nil {
		return Request{}, err
	}
	req := find(all, "req")
	if req == nil {
		return Request{}, &ConfigError{Line: 1, Why: "there is no section [ req ]"}
	}
	req.used = true
	r := reader{all: all, made: Request{Kind: "rsa2048"}} // openssl's default
	for _, one := range req.settings {
		if err := r.readSetting(one); err != nil {
			return Request{}, err
		}
	}
	for _, key := range []string{"distinguished_name", "x509_extensions", "prompt"} {
		if req.get(key) == nil {
			return Request{}, &ConfigError{req.line, "req." + key, "is missing; " + withoutIt[key]}
		}
	}
	for _, s := range all {
		if !s.used {
			return Request{}, &ConfigError{s.line, "", fmt.Sprintf("nothing in [ req ] names the section [ %s ]", s.name)}
		}
	}
	return r.made, nil
}

// withoutIt says why a setting must be there.
var withoutIt = map[string]string{
	"distinguished_name": "the key would have no name",
	"x509_extensions":    "the certificate would not say what its key is for",
	"prompt":             "without `prompt = no` the name's section holds questions instead of a name",
}

type reader struct {
	all  []*section
	made Request
}

// readSetting reads a line of [ req ].
func (r *reader) readSetting(one *setting) error {
	switch one.key {
	case "default_bits":
		r.made.Kind = "rsa" + one.value
		if !slices.Contains(KeyKinds(), r.made.Kind) {
			return one.bad("%q: 2048, 3072 or 4096, which are the sizes that the kernel verifies and that are still good for something", one.value)
		}
		return nil
	case "prompt":
		return only(one, "no", withoutIt["prompt"])
	case "string_mask":
		return only(one, "utf8only", "names are written in UTF-8")
	case "utf8":
		return only(one, "yes", "the file is read as UTF-8")
	case "encrypt_key", "encrypt_rsa_key":
		return only(one, "no", "--passphrase-file encrypts the key")
	case "default_md":
		return only(one, "sha256", "the certificate is signed with sha256, as -sha256 asks")
	case "distinguished_name":
		named, err := r.follow(one)
		if err == nil {
			r.made.Spec.Subject, err = readName(named)
		}
		return err
	case "x509_extensions":
		named, err := r.follow(one)
		if err == nil {
			r.made.Spec.Extensions, err = readExtensions(named)
		}
		return err
	}
	return one.bad("is not understood")
}

// only takes the one value that changes nothing.
func only(one *setting, value, why string) error {
	if one.value != value {
		return one.bad("%q: only %q is understood: %s", one.value, value, why)
	}
	return nil
}

// follow finds the section that a setting names.
func (r *reader) follow(one *setting) (*section, error) {
	named := find(r.all, one.value)
	switch {
	case named == nil:
		return nil, one.bad("there is no section [ %s ]", one.value)
	case named.used:
		return nil, one.bad("the section [ %s ] is for something else", one.value)
	case len(named.settings) == 0:
		return nil, one.bad("the section [ %s ] is empty", one.value)
	}
	named.used = true
	return named, nil
}

// readName reads the attributes of the name. A number and a dot before an attribute make it possible to have it twice, and mean nothing.
func readName(from *section) (name Name, err error) {
	for _, one := range from.settings {
		kind := one.key
		if number, rest, ok := strings.Cut(one.key, "."); ok && strings.Trim(number, "0123456789") == "" {
			kind = rest
		}
		part := NamePart{kind, one.value}
		if _, err := part.encode(); err != nil {
			return nil, one.bad("%v", err)
		}
		name = append(name, part)
	}
	return name, nil
}

// readExtensions reads the section of x509v3_config(5ssl).
func readExtensions(from *section) (all []Extension, err error) {
	named := false
	for _, one := range from.settings {
		var extension Extension
		value, critical := strings.CutPrefix(one.value, "critical,")
		extension.Critical = critical
		words := strings.Split(value, ",")
		for i := range words {
			words[i] = strings.Trim(words[i], blank)
		}
		if slices.Contains(words, "") {
			return nil, one.bad("something is missing in %q", one.value)
		}
		read, known := extensionReaders[one.key]
		if !known {
			return nil, one.bad("is not understood; known are basicConstraints, keyUsage, extendedKeyUsage, subjectKeyIdentifier and authorityKeyIdentifier")
		}
		if extension.Is, err = read(words); err != nil {
			return nil, one.bad("%v", err)
		}
		if critical && strings.HasSuffix(one.key, "KeyIdentifier") {
			return nil, one.bad("is never critical (RFC 5280 4.2.1)")
		}
		if one.key == "authorityKeyIdentifier" && !named {
			return nil, one.bad("needs subjectKeyIdentifier before it")
		}
		named = named || one.key == "subjectKeyIdentifier"
		all = append(all, extension)
	}
	if !named { // OpenSSL 3 adds it, too
		all = append(all, Extension{Is: SubjectKeyID{}})
	}
	return all, nil
}

var extensionReaders = map[string]func(words []string) (ExtensionValue, error){
	"basicConstraints": readBasicConstraints,
	"keyUsage":         readKeyUsage,
	"extendedKeyUsage": readExtKeyUsage,
	"subjectKeyIdentifier": func(words []string) (ExtensionValue, error) {
		if len(words) != 1 || words[0] != "hash" {
			return nil, fmt.Errorf("%q: only hash is understood", strings.Join(words, ","))
		}
		return SubjectKeyID{}, nil
	},
	"authorityKeyIdentifier": func(words []string) (ExtensionValue, error) {
		switch strings.Join(words, ",") {
		case "keyid":
			return AuthorityKeyID{UnlessSelfSigned: true}, nil
		case "keyid:always", "keyid:always,issuer": // the issuer's name is for where there is no key id
			return AuthorityKeyID{}, nil
		}
		return nil, fmt.Errorf("%q: only keyid and keyid:always are understood", strings.Join(words, ","))
	},
}

func readBasicConstraints(words []string) (ExtensionValue, error) {
	var v BasicConstraints
	var seen []string
	for _, word := range words {
		key, value, _ := strings.Cut(word, ":")
		if slices.Contains(seen, key) {
			return nil, fmt.Errorf("%s twice", key)
		}
		seen = append(seen, key)
		switch {
		case word == "CA:TRUE" || word == "CA:true":
			v.CA = true
		case word == "CA:FALSE" || word == "CA:false":
		case key == "pathlen":
			n, err := strconv.ParseUint(value, 10, 15)
			if err != nil || strconv.FormatUint(n, 10) != value {
				return nil, fmt.Errorf("%q is no number from 0 to 32767", value)
			}
			length := int(n)
			v.PathLen = &length
		default:
			return nil, fmt.Errorf("%q: CA:TRUE, CA:FALSE and pathlen:NUMBER are understood", word)
		}
	}
	if v.PathLen != nil && !v.CA {
		return nil, fmt.Errorf("a pathlen without CA:TRUE")
	}
	return v, nil
}

func readKeyUsage(words []string) (ExtensionValue, error) {
	var v KeyUsage
	for _, word := range words {
		name := word
		if word == "nonRepudiation" { // openssl has the older name
			name = "contentCommitment"
		} else if word == "contentCommitment" {
			name = ""
		}
		bit := slices.Index(keyUsages[:], name)
		if bit < 0 {
			return nil, fmt.Errorf("%q is no key usage", word)
		}
		v |= 1 << bit
	}
	return v, nil
}

func readExtKeyUsage(words []string) (ExtensionValue, error) {
	var v ExtKeyUsage
	for _, word := range words {
		for dotted, name := range extendedKeyUsages {
			if word == name && name != "moduleSigning" { // that one is kkeys' own word
				word = dotted
			}
		}
		id, err := parseOID(word)
		if err != nil {
			return nil, err
		}
		v = append(v, id)
	}
	return v, nil
}

// parseOID reads an OID in numbers.
func parseOID(text string) (id asn1.ObjectIdentifier, err error) {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil || strconv.FormatUint(n, 10) != part {
			return nil, fmt.Errorf("%q is neither a known purpose nor an OID in numbers", text)
		}
		id = append(id, int(n))
	}
	if len(id) < 2 || len(id) > 32 || id[0] > 2 || id[0] < 2 && id[1] > 39 {
		return nil, fmt.Errorf("%q is neither a known purpose nor an OID in numbers", text)
	}
	return id, nil
}
