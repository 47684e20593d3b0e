package main

// version is kkeys' own; see CHANGELOG.md.
const version = "0.1.0"

// The help pages. Flags may stand before or after the arguments.
const appHelp = `{{.Name}} - {{.Usage}}

USAGE
   {{.UsageText}}

COMMANDS{{range .VisibleCommands}}
   {{printf "%-10s" .Name}} {{.Usage}}{{end}}

GLOBAL FLAGS{{range .VisibleFlags}}
   {{.}}{{end}}
` + exitCodes + `
EXAMPLES
   kkeys list
   kkeys trusted signing_key.x509
   kkeys enroll cert.der
`

// commandHelp is for a command and for a group of them.
const commandHelp = `{{.HelpName}} - {{.Usage}}

USAGE
   {{.HelpName}} [global flags] [flags]{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}

{{.Description}}
{{if .Subcommands}}
COMMANDS{{range .Subcommands}}
   {{printf "%-16s" .Name}} {{.Usage}}{{end}}
{{end}}{{if .VisibleFlags}}
FLAGS{{range .VisibleFlags}}
   {{.}}{{end}}
{{end}}` + exitCodes + `{{if .UsageText}}
EXAMPLES
{{.UsageText}}
{{end}}`

const exitCodes = `
EXIT CODES
   0  yes: done, trusted, present, no finding
   1  no: not trusted, refused, not enrolled, nothing pending, a finding
   2  wrong usage
   3  cannot tell: no permission, no EFI, a source that cannot be read
   4  failed: a write refused, an I/O error, input that cannot be parsed
`
