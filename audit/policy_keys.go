package audit

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// keyNames reads the keys of a policy. The decoder takes one for another that differs in case, so that of [[Waivers]] and [[waivers]] only one would
// hold: here a key is known only as docs/audit.md writes it.
type keyNames struct {
	parser  unstable.Parser
	unknown []string
}

// unknownMost bounds how many are named: the parser counts the lines from the text's beginning for each.
const unknownMost = 10

// unknownKeys names what is no key of a policy, each with its line, and of many the first; nil when there is none. Of what is no
// TOML the decoder tells.
func unknownKeys(text []byte) error {
	var names keyNames
	names.parser.Reset(bytes.Clone(text))
	policy := reflect.TypeFor[Policy]()
	table, path := policy, ""
	for len(names.unknown) <= unknownMost && names.parser.NextExpression() {
		switch e := names.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, path = names.key(policy, "", e.Key())
		case unstable.KeyValue:
			names.value(table, path, e)
		}
	}
	switch n := len(names.unknown); {
	case n == 0:
		return nil
	case n > unknownMost:
		names.unknown = append(names.unknown[:unknownMost], "and more")
	}
	return errors.New(strings.Join(names.unknown, "; "))
}

// key follows a dotted key from a table; nil stands for one below a key that is not known, of which nothing more is said.
func (n *keyNames) key(table reflect.Type, path string, parts unstable.Iterator) (reflect.Type, string) {
	for parts.Next() && table != nil && len(n.unknown) <= unknownMost {
		name := string(parts.Node().Data)
		path = strings.TrimPrefix(path+"."+name, ".")
		below, known := field(table, name)
		if !known {
			n.unknown = append(n.unknown, fmt.Sprintf("line %d: unknown key %.200q", n.parser.Shape(parts.Node().Raw).Start.Line, path))
		}
		table = below
	}
	return table, path
}

// value looks at a key and, where its value is a table or has some, at theirs.
func (n *keyNames) value(table reflect.Type, path string, e *unstable.Node) {
	if table, path = n.key(table, path, e.Key()); table != nil {
		n.tables(table, path, e.Value())
	}
}

func (n *keyNames) tables(table reflect.Type, path string, value *unstable.Node) {
	for children := value.Children(); children.Next(); {
		switch child := children.Node(); {
		case value.Kind == unstable.InlineTable:
			n.value(table, path, child)
		case value.Kind == unstable.Array:
			n.tables(table, path, child)
		}
	}
}

// field is the type of what stands in a table under a name.
func field(table reflect.Type, name string) (reflect.Type, bool) {
	for table.Kind() == reflect.Slice {
		table = table.Elem()
	}
	switch table.Kind() {
	case reflect.Map:
		return table.Elem(), true
	case reflect.Struct:
		for i := range table.NumField() {
			if tag := table.Field(i).Tag.Get("toml"); tag == name && tag != "-" {
				return table.Field(i).Type, true
			}
		}
	}
	return nil, false
}
