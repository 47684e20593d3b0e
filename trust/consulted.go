package trust

import (
	"fmt"
	"slices"

	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
)

// Listed are the keyrings that matter for modules, in the order in which they are shown.
var Listed = []string{keyring.Builtin, keyring.Secondary, keyring.Machine, keyring.Platform, keyring.Blacklist, keyring.System}

// Consulted tells whether the kernel looks for a module's signer in the named keyring. kernel/module/signing.c asks
// .secondary_trusted_keys and what it links to, or .builtin_trusted_keys on a kernel without it; links are followed by serial number,
// since root can cut one at run time. Whether .platform counts is a patch of the distribution's that shows in no file, so the answer
// is Unknown until a load probe proves it. rings nil means that they could not be seen.
func Consulted(rings []keyring.Ring, status kernel.Status, name string) evidence.Reading {
	if status.Signatures.Answer == evidence.No {
		return evidence.Reading{Answer: evidence.No, Evidence: status.Signatures.Evidence, Source: status.Signatures.Source}
	}
	ring := keyring.Named(rings, name)
	if ring == nil {
		return evidence.Reading{Answer: evidence.Unknown, Evidence: name + " was not seen", Source: links}
	}
	switch name {
	case keyring.Blacklist:
		return evidence.Reading{Answer: evidence.No, Evidence: ".blacklist holds what is refused", Source: links}
	case keyring.Platform:
		return expectPlatform(status)
	}
	head := keyring.Named(rings, keyring.Secondary)
	if head == nil {
		if name == keyring.Builtin || name == keyring.System {
			return evidence.Reading{Answer: evidence.Yes, Evidence: "this kernel has no .secondary_trusted_keys and asks " + name, Source: links}
		}
		return evidence.Reading{Answer: evidence.No, Evidence: "this kernel has no .secondary_trusted_keys that could link " + name, Source: links}
	}
	if old := before(status.Release, 5, 0); old != evidence.No && name != keyring.Builtin {
		return evidence.Reading{Answer: evidence.Unknown, Evidence: "Linux " + status.Release + ": kernels before 5.0 may ask .builtin_trusted_keys alone", Source: osRelease}
	}
	switch {
	case ring.Serial == head.Serial:
		return evidence.Reading{Answer: evidence.Yes, Evidence: "the keyring that the kernel asks first", Source: links}
	case reaches(rings, head, ring.Serial, map[keyring.Serial]bool{}):
		return evidence.Reading{Answer: evidence.Yes, Evidence: name + " is linked from .secondary_trusted_keys", Source: links}
	case head.Unseen > 0:
		return evidence.Reading{Answer: evidence.Unknown, Evidence: "some links of .secondary_trusted_keys could not be seen", Source: links}
	case name == keyring.Builtin && before(status.Release, 5, 0) != evidence.No:
		return evidence.Reading{Answer: evidence.Unknown, Evidence: "Linux " + status.Release + " may ask .builtin_trusted_keys directly", Source: osRelease}
	}
	return evidence.Reading{Answer: evidence.No, Evidence: name + " is not linked from .secondary_trusted_keys", Source: links}
}

// expectPlatform words what is known of the distribution's own kernels. It stays Unknown: whether this is one of them, no file proves.
func expectPlatform(status kernel.Status) evidence.Reading {
	r := evidence.Reading{Evidence: "a patch of the distribution's decides, which no file shows", Source: osReleaseFile}
	switch status.Distribution.Expect().Platform {
	case evidence.Yes:
		r.Evidence += "; kernels of " + status.Distribution.ID + " are known to ask it"
	case evidence.No:
		r.Evidence += "; kernels of " + status.Distribution.ID + " are known not to ask it"
	}
	return r
}

// reaches follows links from a ring; been ends loops, which the kernel does not allow but a recording could hold.
func reaches(rings []keyring.Ring, from *keyring.Ring, to keyring.Serial, been map[keyring.Serial]bool) bool {
	been[from.Serial] = true
	for _, link := range from.Rings {
		if link.Serial == to {
			return true
		}
		for i := range rings {
			if rings[i].Serial == link.Serial && !been[link.Serial] && reaches(rings, &rings[i], to, been) {
				return true
			}
		}
	}
	return false
}

// Questions are the restrictions to ask the kernel about, given the keyrings that can be seen (nil for an ordinary user, who may
// ask about the two that need no serial number): each keyring, and each key of those that can be trusted.
func Questions(rings []keyring.Ring) []keyring.Restriction {
	questions := []keyring.Restriction{keyring.ByBuiltin, keyring.BySecondary}
	for _, name := range Listed {
		ring := keyring.Named(rings, name)
		if ring == nil || (name == keyring.Blacklist && len(ring.Keys) == ring.Hashes()) {
			continue
		}
		questions = append(questions, keyring.ByRing(ring.Serial))
		for _, key := range ring.Keys {
			if key.Type == keyring.TypeAsymmetric && name != keyring.Blacklist {
				questions = append(questions, keyring.ByKey(key.Serial))
			}
		}
	}
	return questions
}

// before tells whether a release is older than major.minor; Unknown when it cannot be read.
func before(release string, major, minor int) evidence.Answer {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return evidence.Unknown
	}
	if slices.Compare([]int{a, b}, []int{major, minor}) < 0 {
		return evidence.Yes
	}
	return evidence.No
}
