package mok_test

import (
	"slices"
	"testing"

	"kkeys/efivars/efivarstest"
	"kkeys/mok"
)

// TestAnswers holds what became of every kind of request against machines in such a state; der(1000) is what was asked about.
func TestAnswers(t *testing.T) {
	mine := der(1000)
	record := make([]byte, mok.AuthSize)
	ask := func(k mok.Kind, boot string) mok.Receipt {
		if k == mok.Validation || k == mok.UseDB || k == mok.TrustList || k == mok.Password {
			return receipt(k, boot)
		}
		return receipt(k, boot, mine)
	}
	has, blocked := func(seeds ...any) *efivarstest.Memory {
		return with(append([]any{"MokListRT", keyList(der(900), mine)}, seeds...)...)
	}, func(seeds ...any) *efivarstest.Memory {
		return with(append([]any{"MokListXRT", keyList(mine)}, seeds...)...)
	}
	toggle := make([]byte, 40)
	for why, c := range map[string]struct {
		store *efivarstest.Memory
		kind  mok.Kind
		boot  string
		want  mok.Outcome
		says  string
	}{
		"enrolled":                     {has(), mok.Enroll, earlier, mok.Enrolled, "as kkeys asked"},
		"declined":                     {machine(), mok.Enroll, earlier, mok.Declined, "declined"},
		"deleted":                      {machine(), mok.Delete, earlier, mok.Done, "as kkeys asked"},
		"deletion declined":            {has(), mok.Delete, earlier, mok.Declined, "undone again"},
		"deletion waits":               {has("MokDel", keyList(mine), "MokDelAuth", record), mok.Delete, now, mok.Waiting, "at the next boot"},
		"deletion waits still":         {has("MokDel", keyList(mine), "MokDelAuth", record), mok.Delete, earlier, mok.WaitingStill, "without shim"},
		"deletion without a password":  {has("MokDel", keyList(mine)), mok.Delete, now, mok.Unconfirmable, "ask again"},
		"deletion withdrawn":           {has(), mok.Delete, now, mok.Withdrawn, "no longer pending"},
		"deletion, boot not known":     {has(), mok.Delete, "", mok.Unknown, "booted since is not known"},
		"deletion, list damaged":       {with("MokListRT", []byte("damaged")), mok.Delete, earlier, mok.Unknown, "MokList is damaged"},
		"deletion of another":          {has("MokDel", keyList(der(1001)), "MokDelAuth", record), mok.Delete, earlier, mok.Declined, ""},
		"blocked":                      {blocked(), mok.Block, earlier, mok.Done, ""},
		"blocking declined":            {machine(), mok.Block, earlier, mok.Declined, ""},
		"blocking cut short":           {with("MokXAuth", record), mok.Block, earlier, mok.Interrupted, "erase the whole list"},
		"unblocked":                    {machine(), mok.Unblock, earlier, mok.Done, ""},
		"unblocking declined":          {blocked(), mok.Unblock, earlier, mok.Declined, ""},
		"erased":                       {machine(), mok.Reset, earlier, mok.Done, ""},
		"erasing declined":             {has(), mok.Reset, earlier, mok.Declined, ""},
		"erased, and another added":    {with("MokListRT", keyList(der(1001))), mok.Reset, earlier, mok.Done, ""},
		"erasing cut short":            {has("MokAuth", record), mok.Reset, earlier, mok.WaitingStill, "or MokManager was cut short"},
		"deletion cut short":           {has("MokDelAuth", record), mok.Delete, earlier, mok.Interrupted, "its password is left"},
		"erasing waits":                {has("MokAuth", record), mok.Reset, now, mok.Waiting, ""},
		"blocklist erased":             {machine(), mok.ResetBlocked, earlier, mok.Done, ""},
		"blocklist not erased":         {blocked(), mok.ResetBlocked, earlier, mok.Declined, ""},
		"validation switched off":      {with("MokSBStateRT", []byte{1}), mok.Validation, earlier, mok.Done, ""},
		"validation still on":          {machine(), mok.Validation, earlier, mok.Declined, ""},
		"validation to be switched":    {with("MokSB", toggle), mok.Validation, now, mok.Waiting, ""},
		"validation not to be read":    {efivarstest.NewMemory(), mok.Validation, earlier, mok.Unknown, "shim was not seen"},
		"db ignored":                   {with("MokIgnoreDB", []byte{1}), mok.UseDB, earlier, mok.Done, ""},
		"db still used":                {machine(), mok.UseDB, earlier, mok.Declined, ""},
		"trust, the table not seen":    {machine(), mok.TrustList, earlier, mok.Unknown, "no MOK variable table"},
		"password":                     {machine(), mok.Password, earlier, mok.Unknown, "cannot be seen from the operating system"},
		"password waits":               {with("MokPW", record[:]), mok.Password, now, mok.Waiting, ""},
		"the other password wish":      {with("MokPW", append([]byte{4}, record[1:]...)), mok.Password, now, mok.Unknown, "cannot be seen"},
		"the other way waits":          {with("MokSB", append([]byte{1}, toggle[1:]...)), mok.Validation, now, mok.Withdrawn, ""},
		"nobody knows what shim holds": {efivarstest.NewMemory(), mok.Block, earlier, mok.Unknown, "MokListX"},
	} {
		answers := course([]mok.Receipt{ask(c.kind, c.boot)}, nil, c.store, noRoot, now).Answers()
		if len(answers) != 1 || answers[0].Outcome != c.want || (answers[0].Asked != nil) != slices.Contains([]mok.Kind{mok.Enroll, mok.Delete, mok.Block, mok.Unblock}, c.kind) {
			t.Errorf("%s: %+v, want %s", why, answers, c.want)
			continue
		}
		says(t, why, answers[0].Fate, c.says)
	}
}

// Only the newest about each subject is answered.
func TestAnswersOfTheNewest(t *testing.T) {
	other := der(1001)
	for why, c := range map[string]struct {
		receipts []mok.Receipt
		want     []mok.Kind
	}{
		"none":                         {nil, nil},
		"asked twice":                  {[]mok.Receipt{receipt(mok.Enroll, earlier, other), receipt(mok.Enroll, now, other)}, []mok.Kind{mok.Enroll}},
		"enrolled, deleted":            {[]mok.Receipt{receipt(mok.Enroll, earlier, other), receipt(mok.Delete, now, other)}, []mok.Kind{mok.Delete}},
		"enrolled and blocked":         {[]mok.Receipt{receipt(mok.Enroll, earlier, other), receipt(mok.Block, now, other)}, []mok.Kind{mok.Block, mok.Enroll}},
		"enrolled, erased":             {[]mok.Receipt{receipt(mok.Enroll, earlier, other), receipt(mok.Reset, now)}, []mok.Kind{mok.Reset}},
		"erased, enrolled":             {[]mok.Receipt{receipt(mok.Reset, now), receipt(mok.Enroll, earlier, other)}, []mok.Kind{mok.Enroll, mok.Reset}},
		"enrolled, blocklist erased":   {[]mok.Receipt{receipt(mok.Enroll, earlier, other), receipt(mok.ResetBlocked, now)}, []mok.Kind{mok.ResetBlocked, mok.Enroll}},
		"two in one":                   {[]mok.Receipt{receipt(mok.Enroll, earlier, other, der(1002))}, []mok.Kind{mok.Enroll, mok.Enroll}},
		"switched twice":               {[]mok.Receipt{receipt(mok.UseDB, earlier), receipt(mok.UseDB, now), receipt(mok.Validation, now)}, []mok.Kind{mok.Validation, mok.UseDB}},
		"unblocked what was blocked":   {[]mok.Receipt{receipt(mok.Block, earlier, other), receipt(mok.Unblock, now, other)}, []mok.Kind{mok.Unblock}},
		"blocked, the blocklist reset": {[]mok.Receipt{receipt(mok.Block, earlier, other), receipt(mok.ResetBlocked, now)}, []mok.Kind{mok.ResetBlocked}},
	} {
		var got []mok.Kind
		for _, a := range course(c.receipts, nil, machine(), noRoot, now).Answers() {
			got = append(got, a.Receipt.Kind)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", why, got, c.want)
		}
	}
}

// A certificate that was asked for again after a reset was gone then, though it is there now.
func TestAnswerResetAndAgain(t *testing.T) {
	mine, other := der(1000), der(1001)
	for why, c := range map[string]struct {
		again mok.Receipt
		want  mok.Outcome
	}{
		"the same":            {receipt(mok.Enroll, earlier, mine), mok.Done},
		"another":             {receipt(mok.Enroll, earlier, other), mok.Declined},
		"for the other list":  {receipt(mok.Block, earlier, mine), mok.Declined},
		"erased once more":    {receipt(mok.Reset, earlier, mine), mok.Declined},
		"it was damaged":      {receipt(mok.Reset, earlier), mok.Done},
		"half of it is left":  {receipt(mok.Reset, earlier, mine, other), mok.Unknown},
		"the other was asked": {receipt(mok.ResetBlocked, earlier, mine), mok.Declined},
	} {
		for _, a := range course([]mok.Receipt{receipt(mok.Reset, earlier, mine), c.again}, nil, with("MokListRT", keyList(mine)), noRoot, now).Answers() {
			if a.Receipt.Kind == mok.Reset && a.Outcome != c.want {
				t.Errorf("%s: %+v, want %s", why, a.Fate, c.want)
			}
		}
	}
}
