package certs

import (
	"time"

	"golang.org/x/crypto/cryptobyte/asn1"
)

// derTime is a UTCTime or GeneralizedTime as written.
type derTime struct {
	tag   asn1.Tag
	value []byte
}

// fields reads the digits: YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ, the two forms that the kernel knows and DER allows.
// The year is completed as RFC 5280 4.1.2.5.1 says: two digits from 50 on mean 19xx.
func (t derTime) fields() (f [6]int, ok bool) {
	digits := t.value
	year := 2
	if t.tag == asn1.GeneralizedTime {
		year = 4
	}
	if len(digits) != year+11 || digits[len(digits)-1] != 'Z' {
		return f, false
	}
	for i, width := range [6]int{year, 2, 2, 2, 2, 2} {
		for _, d := range digits[:width] {
			if d < '0' || d > '9' {
				return f, false
			}
			f[i] = f[i]*10 + int(d-'0')
		}
		digits = digits[width:]
	}
	if year == 2 {
		if f[0] < 50 {
			f[0] += 100
		}
		f[0] += 1900
	}
	return f, true
}

// time gives the moment in UTC. As the kernel does, it takes 24:00:00 and the 60th second for the following moment.
// A year that the kernel refuses still has a date to show.
func (t derTime) time() (time.Time, bool) {
	f, ok := t.fields()
	if !ok || f[1] < 1 || f[1] > 12 || f[2] < 1 || f[2] > daysIn(f[0], f[1]) || f[3] > 24 || f[4] > 59 || f[5] > 60 {
		return time.Time{}, false
	}
	return time.Date(f[0], time.Month(f[1]), f[2], f[3], f[4], f[5], 0, time.UTC), true
}

// kernelAccepts applies the rules of x509_decode_time in crypto/asymmetric_keys/x509_cert_parser.c.
func (t derTime) kernelAccepts() bool {
	if _, ok := t.time(); !ok {
		return false
	}
	f, _ := t.fields()
	if t.tag == asn1.GeneralizedTime && f[0] >= 1950 && f[0] <= 2049 {
		return false // RFC 5280: UTCTime must be used for these
	}
	return f[0] >= 1970
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
