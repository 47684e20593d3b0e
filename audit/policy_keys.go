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

// unknownKeys names all that is no key of a policy, each with its line; nil when there is none.
func unknownKeys(text []byte) error {
	var names keyNames
	names.parser.Reset(bytes.Clone(text))
	policy := reflect.TypeFor[Policy]()
	table, path := policy, ""
	for names.parser.NextExpression() {
		switch e := names.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, path = names.key(policy, "", e.Key())
		case unstable.KeyValue:
			names.value(table, path, e)
		}
	}
	if err := names.parser.Error(); err != nil {
		return err
	}
	if len(names.unknown) == 0 {
		return nil
	}
	return errors.New(strings.Join(names.unknown, "; "))
}

// key follows a dotted key from a table; nil stands for one below a key that is not known, of which nothing more is said.
func (n *keyNames) key(table reflect.Type, path string, parts unstable.Iterator) (reflect.Type, string) {
	for parts.Next() && table != nil {
		name := string(parts.Node().Data)
		path = strings.TrimPrefix(path+"."+name, ".")
		below, known := field(table, name)
		if !known {
			n.unknown = append(n.unknown, fmt.Sprintf("line %d: unknown key %q", n.parser.Shape(parts.Node().Raw).Start.Line, path))
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
