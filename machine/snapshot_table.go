package machine

import (
	"io"
	"path"

	"kkeys/efivars"
)

// keep says what of a file goes into a snapshot.
type keep int

const (
	keepWhole    keep = iota // the content
	keepReduced              // what reduce leaves of it
	keepPresence             // only that it is there
)

// item is one line of the table of what is recorded.
type item struct {
	path   string // below the root; RELEASE in it stands for the kernel's release
	keep   keep
	reduce func(io.Reader) ([]byte, error)
	why    string
}

// The reasons that stand for several lines.
const (
	whyConfig       = "the kernel's configuration: are module signatures, lockdown and the keyrings compiled in"
	whyCertificates = "certificates at the places where tools and distributions keep them"
	whyDKMS         = "where DKMS was told to keep its key"
	whyImage        = "the certificates in the kernel's image"
	whyRelease      = "which distribution this is"
	whyBoot         = "which program the next boot starts: is it shim, is MokManager beside it"
	whyFirmware     = "the firmware's state, keys and boot entries"
	whyUnpack       = "which compressed modules can be loaded: the libraries that kmod names, nothing else of it"
	whyShim         = "shim's lists, and the requests to MokManager without their passwords"
)

// items are the files that are recorded wherever they are there. More are found by following: see [Recording.follow].
var items = append(kmodItems(), []item{
	{path: "proc/sys/kernel/osrelease", why: "which kernel runs"},
	{path: "proc/sys/kernel/arch", why: "the architecture, as in the names of EFI programs"},
	{path: "proc/sys/kernel/modules_disabled", why: "are modules refused altogether"},
	{path: "proc/sys/kernel/tainted", why: "was a module loaded that is unsigned or from elsewhere"},
	{path: "proc/modules", keep: keepReduced, reduce: reduceModules, why: "which modules are loaded, and what each taints the kernel with"},
	{path: "proc/crypto", why: "which hashes and key algorithms the kernel has"},
	{path: "proc/cmdline", keep: keepReduced, reduce: reduceCommandLine, why: "parameters about modules, lockdown, ca_keys, IMA and EFI; no others, which may be secrets"},
	{path: "proc/kallsyms", keep: keepReduced, reduce: reduceSymbols, why: "functions that tell how the kernel was built, without their addresses"},
	{path: "proc/sys/crypto/fips_enabled", why: "does the kernel run in FIPS mode"},
	{path: "proc/sys/kernel/random/boot_id", why: "which boot this is"},
	{path: "var/lib/kkeys/receipts.json", why: "what kkeys asked of MokManager, and in which boot"},
	{path: "proc/config.gz", keep: keepReduced, reduce: reducePackedConfig, why: whyConfig},
	{path: "boot/config-RELEASE", keep: keepReduced, reduce: reduceConfig, why: whyConfig},
	{path: "lib/modules/RELEASE/config", keep: keepReduced, reduce: reduceConfig, why: whyConfig},
	{path: "usr/lib/modules/RELEASE/config", keep: keepReduced, reduce: reduceConfig, why: whyConfig},
	{path: "lib/modules/RELEASE/build/.config", keep: keepReduced, reduce: reduceConfig, why: whyConfig},
	{path: "etc/os-release", why: whyRelease},
	{path: "usr/lib/os-release", why: whyRelease},
	{path: "sys/module/kernel", keep: keepPresence, why: "is /sys there, so that what is missing in it means something"},
	{path: "sys/module/module/parameters/sig_enforce", why: "are unsigned modules refused"},
	{path: "sys/kernel/security/lockdown", why: "the mode of lockdown"},
	{path: "sys/kernel/security/integrity/ima/policy", keep: keepReduced, reduce: reducePolicy, why: "does IMA appraise modules"},
	{path: "sys/class/tpm/tpm0", keep: keepPresence, why: "is there a TPM, into which shim measures its lists"},
	{path: "sys/firmware/efi/fw_platform_size", why: "how wide the firmware is, as in the names of EFI programs"},
	{path: "sys/module/compression", why: whyUnpack},
	{path: "dev/disk/by-partuuid", keep: keepPresence, why: whyBoot},
}...)

func kmodItems() (all []item) {
	for _, path := range kmodPrograms {
		all = append(all, item{path: path, keep: keepReduced, reduce: reduceKmod, why: whyUnpack})
	}
	return all
}

// variable is one line of the table of EFI variables, and of the entries of shim's table.
type variable struct {
	pattern string // of the name, in the form of path.Match
	vendor  efivars.GUID
	reduce  func([]byte) []byte // nil: the data as it is
	why     string
}

// variableTable is all that is recorded of them. Of others only the name is.
var variableTable = []variable{
	{"SecureBoot", efivars.Global, nil, whyFirmware}, {"SetupMode", efivars.Global, nil, whyFirmware},
	{"AuditMode", efivars.Global, nil, whyFirmware}, {"DeployedMode", efivars.Global, nil, whyFirmware},
	{"VendorKeys", efivars.Global, nil, whyFirmware}, {"SignatureSupport", efivars.Global, nil, whyFirmware},
	{"PK", efivars.Global, nil, whyFirmware}, {"PKDefault", efivars.Global, nil, whyFirmware},
	{"KEK", efivars.Global, nil, whyFirmware}, {"KEKDefault", efivars.Global, nil, whyFirmware},
	{"db", efivars.ImageSecurity, nil, whyFirmware}, {"dbDefault", efivars.Global, nil, whyFirmware},
	{"dbx", efivars.ImageSecurity, nil, whyFirmware}, {"dbxDefault", efivars.Global, nil, whyFirmware},
	{"dbt", efivars.ImageSecurity, nil, whyFirmware}, {"dbtDefault", efivars.Global, nil, whyFirmware},
	{"dbr", efivars.ImageSecurity, nil, whyFirmware}, {"dbrDefault", efivars.Global, nil, whyFirmware},
	{"BootOrder", efivars.Global, nil, whyFirmware}, {"BootNext", efivars.Global, nil, whyFirmware},
	{"BootCurrent", efivars.Global, nil, whyFirmware},
	{"Boot[0-9A-F][0-9A-F][0-9A-F][0-9A-F]", efivars.Global, reduceBootEntry, whyFirmware},

	{"MokListRT*", efivars.Shim, nil, whyShim}, {"MokListXRT*", efivars.Shim, nil, whyShim},
	{"MokListTrustedRT", efivars.Shim, nil, whyShim}, {"MokSBStateRT", efivars.Shim, nil, whyShim},
	{"MokDBStateRT", efivars.Shim, nil, whyShim}, {"MokIgnoreDB", efivars.Shim, nil, whyShim},
	{"MokPolicyRT", efivars.Shim, nil, whyShim}, {"SbatLevelRT", efivars.Shim, nil, whyShim},
	{"SbatPolicy", efivars.Shim, nil, whyShim}, {"HSIStatus", efivars.Shim, nil, whyShim},
	{"VariableInfo", efivars.Shim, nil, whyShim},
	{"MokNew", efivars.Shim, nil, whyShim}, {"MokDel", efivars.Shim, nil, whyShim},
	{"MokXNew", efivars.Shim, nil, whyShim}, {"MokXDel", efivars.Shim, nil, whyShim},
	{"MokTimeout", efivars.Shim, nil, whyShim},
	{"MokAuth", efivars.Shim, blankAuth, whyShim}, {"MokDelAuth", efivars.Shim, blankAuth, whyShim},
	{"MokXAuth", efivars.Shim, blankAuth, whyShim}, {"MokXDelAuth", efivars.Shim, blankAuth, whyShim},
	{"MokPW", efivars.Shim, blankAuth, whyShim},
	{"MokSB", efivars.Shim, blankSwitch, whyShim}, {"MokDB", efivars.Shim, blankSwitch, whyShim},
	{"MokListTrustedNew", efivars.Shim, blankSwitch, whyShim},
}

// recordedVariable finds a variable's line in the table.
func recordedVariable(n efivars.Name) (variable, bool) {
	for _, v := range variableTable {
		if ok, err := path.Match(v.pattern, n.Name); ok && err == nil && v.vendor == n.Vendor {
			return v, true
		}
	}
	return variable{}, false
}
