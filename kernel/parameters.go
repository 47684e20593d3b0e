package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Parameter is one word of the kernel's command line.
type Parameter struct {
	Name  string // as written; see [Parameter.Is]
	Value string // without the quotes around it; empty also where there is none
	Set   bool   // there is an equals sign, so that there is a value
	Word  string // the whole word as it stands, quotes included
}

// Is tells whether the parameter has this name: the kernel takes '-' and '_' for the same (kernel/params.c, parameq).
func (p Parameter) Is(name string) bool {
	return strings.ReplaceAll(p.Name, "-", "_") == strings.ReplaceAll(name, "-", "_")
}

// Parameters are those of the kernel's command line, in order; nil when it could not be read. What stands behind "--" is for init and not
// among them.
type Parameters []Parameter

// Last gives the value of the parameter of this name, of the last one when it stands there several times: most of the kernel's own overwrite
// what came before. found is false when it is not there, or the command line was not read.
func (p Parameters) Last(name string) (value string, found bool) {
	for _, each := range p {
		if each.Is(name) {
			value, found = each.Value, true
		}
	}
	return value, found
}

// All gives the values of every parameter of this name, in order: some add up, as those of ima_policy do.
func (p Parameters) All(name string) []string {
	var values []string
	for _, each := range p {
		if each.Is(name) {
			values = append(values, each.Value)
		}
	}
	return values
}

// String gives the words with a blank between them.
func (p Parameters) String() string {
	words := make([]string, len(p))
	for i, each := range p {
		words[i] = each.Word
	}
	return strings.Join(words, " ")
}

// commandLineMax bounds the command line in bytes. Architectures allow 256 to 4096 (COMMAND_LINE_SIZE), and a boot configuration adds at
// most 32767 (include/linux/bootconfig.h, XBC_DATA_MAX).
const commandLineMax = 64 << 10

const commandLineFile = "proc/cmdline"

// readParameters is nil when the command line cannot be read.
func readParameters(root fs.FS) Parameters {
	file, err := openRegular(root, commandLineFile)
	if err != nil {
		return nil
	}
	defer file.Close()
	parameters, err := ParseParameters(file)
	if err != nil {
		return nil
	}
	return parameters
}

// ParseParameters reads the text of /proc/cmdline as the kernel reads its own (lib/cmdline.c, next_arg; kernel/params.c, parse_args): words
// end at white space outside of double quotes, the first equals sign that is not the first character divides a word, and a word "--" ends all.
func ParseParameters(r io.Reader) (Parameters, error) {
	text, err := io.ReadAll(io.LimitReader(r, commandLineMax+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("command line: %w", err)
	case len(text) > commandLineMax:
		return nil, fmt.Errorf("command line: more than %d bytes", commandLineMax)
	case bytes.IndexByte(text, 0) >= 0:
		return nil, fmt.Errorf("command line: offset %d: %w", bytes.IndexByte(text, 0), errors.New("a zero byte"))
	}
	parameters := Parameters{}
	for rest := skipBlanks(bytes.TrimSuffix(text, []byte("\n"))); len(rest) > 0; {
		end := wordEnd(rest)
		next := parameter(rest[:end])
		if next.Name == "--" && !next.Set {
			break
		}
		parameters, rest = append(parameters, next), skipBlanks(rest[end:])
	}
	return parameters, nil
}

// isBlank is the kernel's isspace (lib/ctype.c), in which the no-break space of Latin-1 is white space too, wherever that byte stands.
func isBlank(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' || b == 0xa0 }

func skipBlanks(text []byte) []byte {
	for len(text) > 0 && isBlank(text[0]) {
		text = text[1:]
	}
	return text
}

func wordEnd(text []byte) int {
	quoted := false
	for i, b := range text {
		if b == '"' {
			quoted = !quoted
		}
		if !quoted && isBlank(b) {
			return i
		}
	}
	return len(text)
}

// parameter divides a word, which is not empty. A quote goes from before the word or before the value, and then one from the end.
func parameter(word []byte) Parameter {
	p := Parameter{Word: string(word)}
	text, quoted := strings.CutPrefix(p.Word, `"`)
	equals := -1
	if text != "" {
		equals = strings.IndexByte(text[1:], '=') + 1
	}
	p.Set = equals > 0
	last := &p.Name
	if p.Name = text; p.Set {
		p.Name, p.Value = text[:equals], text[equals+1:]
		inner, within := strings.CutPrefix(p.Value, `"`)
		p.Value, quoted, last = inner, quoted || within, &p.Value
	}
	if quoted {
		*last = strings.TrimSuffix(*last, `"`)
	}
	return p
}
