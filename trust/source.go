package trust

import "strings"

// The sources of gates that are no files.
const (
	oracle         = "the kernel (restricted keyring)"
	addKey         = "the kernel (add_key)"
	initModule     = "the kernel (init_module)"
	listing        = "descriptions of keys (keyctl)"
	links          = "links between keyrings (keyctl)"
	theCertificate = "the certificate"
	theModule      = "the module"
	stores         = "certificates found on this machine"
)

// Files that are named in more than one place.
const (
	osRelease     = "/proc/sys/kernel/osrelease"
	osReleaseFile = "/etc/os-release"
	fipsFile      = "/proc/sys/crypto/fips_enabled"
)

// otherKernel could make a table of distributions lie.
const otherKernel = "whoever runs another kernel than the distribution's"

// forgers are who could make a source lie, by how the source begins; the first match counts. Nobody but the kernel itself stands behind what it
// answers to add_key and init_module, and behind its links.
var forgers = []struct{ source, who string }{
	{oracle, ""}, {addKey, ""}, {initModule, ""}, {links, ""},
	{listing, "whoever chose the name: the issuer, or root when adding the key"},
	{theCertificate, "whoever made the certificate"},
	{theModule, "whoever made the module"},
	{stores, "root"},
	{"efivars/MokNew", "root"}, {"efivars/MokAuth", "root"}, {"/var/lib/kkeys", "root"},
	{"efivars", "root, by mounting over it"},
	{"mok-variables", "root, by mounting over it; shim and what it started before the kernel"},
	{"/proc/", "root, by mounting over it"},
	{"/sys/", "root, by mounting over it"},
	{"/", "root; it need not belong to the running kernel"},
}

func forger(source string) string {
	for _, f := range forgers {
		if strings.HasPrefix(source, f.source) {
			return f.who
		}
	}
	return ""
}

// Mend is what would change a gate's result. The command line words it as a command.
type Mend string

// What can be done about a gate.
const (
	MendRoot         Mend = "root"          // ask again as root
	MendProve        Mend = "prove"         // ask with load probes
	MendEnroll       Mend = "enroll"        // ask MokManager to enroll the certificate
	MendConfirm      Mend = "confirm"       // boot, and confirm in MokManager what is pending
	MendSecureBoot   Mend = "secure-boot"   // switch it on in the firmware's set-up
	MendValidation   Mend = "validation"    // switch shim's validation on
	MendTrustList    Mend = "trust-list"    // let shim tell the kernel to trust its list
	MendCancel       Mend = "cancel"        // take back what MokManager left
	MendReboot       Mend = "reboot"        // what root changed lasts until then
	MendHash         Mend = "hash"          // load the hash's module
	MendUnpack       Mend = "unpack"        // unpack the module before it is loaded
	MendKeyAlgorithm Mend = "key-algorithm" // load the key algorithm's module
)
