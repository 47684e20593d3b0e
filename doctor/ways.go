package doctor

import "kkeys/trust"

// mends are the remedies for what a gate says would open it.
var mends = map[trust.Mend]Action{
	trust.MendSecureBoot: SecureBoot, trust.MendValidation: Validation, trust.MendTrustList: TrustList, trust.MendReboot: Reboot,
}

// past is a way that leads past a barrier to enrolment; ok is false where none is known to. An authority is wanted where a leaf is the barrier.
func past(barrier trust.Gate, way ...Remedy) (all Way, ok bool) {
	if barrier.Result != trust.Fail {
		return way, true
	}
	first, known := mends[barrier.Mend]
	return append(Way{{Do: first}}, way...), known
}

// signed are the ways to a signature that the kernel takes, and why there are none.
func (f Facts) signed() (ways []Way, noWay string) {
	for _, key := range f.Keys {
		if key.Trusted == trust.Trusted {
			ways = append(ways, Way{{Do: Sign, Path: f.Path, Private: key.Private, Certificate: key.Certificate}})
		}
	}
	if len(ways) > 0 {
		return ways, ""
	}
	for _, key := range f.Keys {
		sign := Remedy{Do: Sign, Path: f.Path, Private: key.Private, Certificate: key.Certificate}
		if way, ok := past(key.Barrier, Remedy{Do: Enroll, Certificate: key.Certificate}, sign); ok {
			return append(ways, way), ""
		}
	}
	return f.fresh()
}

// fresh is the way with a key still to be made.
func (f Facts) fresh() (ways []Way, noWay string) {
	do := MakeKey
	if f.Authority {
		do = MakeAuthority
	}
	if way, ok := past(f.NewKey, Remedy{Do: do, Path: f.Path}); ok {
		return append(ways, way), ""
	}
	return nil, "no key that is enrolled would count: " + f.NewKey.Evidence
}

// resigned takes the ways to another signature into a finding.
func (f Facts) resigned(finding Finding) Finding {
	ways, noWay := f.signed()
	if len(ways) > 0 && f.NewKey.Result == trust.Fail && ways[0][0].Do == mends[f.NewKey.Mend] { // why that comes first
		finding.Evidence = append(finding.Evidence, seen(f.NewKey)...)
	}
	if finding.Ways = append(finding.Ways, ways...); len(finding.Ways) == 0 {
		finding.NoWay = noWay
	}
	return finding
}

// remade takes the way with another key into a finding.
func (f Facts) remade(finding Finding) Finding {
	ways, noWay := f.fresh()
	if finding.Ways = append(finding.Ways, ways...); len(finding.Ways) == 0 {
		finding.NoWay = noWay
	}
	return finding
}
