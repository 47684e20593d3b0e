package lab

import (
	"fmt"
	"strconv"
	"strings"
)

// What MokManager can do with requests, each for Machine.Firmware or Together: from its prompt, over its menu, to the reset
// that follows a change.

// Enroll enrols what MokNew asks for, of which MokManager must list so many entries: one for each signature list, so one
// for each certificate and one for a list of hashes, however long.
func Enroll(keys int, password string) func(*Console) error {
	return request(confirm("Enroll MOK", keys, "Enroll the key(s)?"), enter(password))
}

// Delete deletes what MokDel asks for, of which MokManager must list so many entries.
func Delete(keys int, password string) func(*Console) error {
	return request(confirm("Delete MOK", keys, "Delete the key(s)?"), enter(password))
}

// Reset erases the list of enrolled keys, which MokAuth without MokNew asks for.
func Reset(password string) func(*Console) error {
	return request(pick("Reset MOK"), choose("Erase all stored keys in MokList?", "Yes"), enter(password))
}

// EnrollBlocked adds what MokXNew asks for to the list of forbidden keys and hashes; the number is as for Enroll.
func EnrollBlocked(keys int, password string) func(*Console) error {
	return request(confirm("Enroll MOKX", keys, "Enroll the key(s)?"), enter(password))
}

// DeleteBlocked deletes what MokXDel asks for from the list of forbidden keys and hashes.
func DeleteBlocked(keys int, password string) func(*Console) error {
	return request(confirm("Delete MOKX", keys, "Delete the key(s)?"), enter(password))
}

// ResetBlocked erases the list of forbidden keys and hashes, which MokXAuth without MokXNew asks for.
func ResetBlocked(password string) func(*Console) error {
	return request(pick("Reset MOKX"), choose("Erase all stored keys in MokListX?", "Yes"), enter(password))
}

// ChangeValidation switches shim's validation off or on, as MokSB asks for.
func ChangeValidation(password string) func(*Console) error {
	const item = "Change Secure Boot state"
	return request(pick(item), characters(item, password), either("Disable Secure Boot", "Enable Secure Boot"))
}

// ChangeDB has shim ignore the firmware's db or use it, as MokDB asks for.
func ChangeDB(password string) func(*Console) error {
	const item = "Change DB state"
	return request(pick(item), characters(item, password), either("Ignore DB certs/hashes", "Use DB certs/hashes"))
}

// ChangeTrust has the kernel trust the list of enrolled keys or not, as MokListTrustedNew asks for.
func ChangeTrust(password string) func(*Console) error {
	return request(pick("Change MOK List Trusted State"), characters("Change Trusted MOK List Keyring state", password),
		either("Trust the MOK list", "Do not trust the MOK list"))
}

// SetPassword sets the MOK password that MokPW asks for. From then on MokManager is opened by WithPassword.
func SetPassword(password string) func(*Console) error {
	return request(pick("Set MOK password"), enterAt("Confirm MOK passphrase:", password), choose("Set MOK password?", "Yes"))
}

// ClearPassword clears the MOK password, which a MokPW of zeros asks for.
func ClearPassword() func(*Console) error {
	return request(pick("Set MOK password"), choose("Clear MOK password?", "Yes"))
}

// WrongPassword tries to enrol the keys of MokNew with a wrong password until MokManager gives up, the third time, and
// continues the boot.
func WrongPassword(keys int, password string) func(*Console) error {
	return func(c *Console) error {
		err := steps(c, open, confirm("Enroll MOK", keys, "Enroll the key(s)?"))
		if err != nil {
			return err
		}
		for range 3 {
			if err := steps(c, enter(password), dismiss("Password doesn't match")); err != nil {
				return err
			}
		}
		return steps(c, dismiss("Failed to enroll keys"), back, leave)
	}
}

// Views looks at the entries of a request, of which there must be as many as are given, and checks that MokManager shows these
// texts of each: for a certificate somewhere on its page, such as a subject; for a list of hashes one on the page of each hash,
// in hexadecimal. White space and case do not count. The item is that of the main menu: Enroll MOK, Delete MOK or one for MOKX.
// Then it says no, and continues the boot, which discards the request; in Together the request can still be granted.
func Views(item string, entries ...[]string) func(*Console) error {
	return func(c *Console) error {
		if err := steps(c, open, pick(item)); err != nil {
			return err
		}
		for i, texts := range entries {
			err := steps(c, choose("["+item+"]", fmt.Sprint("View key ", i)), view(texts))
			if err != nil {
				return err
			}
		}
		return steps(c, list(item, len(entries)), choose("the key(s)?", "No"), back, leave)
	}
}

// view reads the page of an entry and leaves it, or, for a list of several hashes, the pages that its menu leads to.
func view(texts []string) func(*Console) error {
	return func(c *Console) error {
		const hashes = "[Hash List]"
		several := false
		err := c.until(fmt.Sprintf("a page with %q", texts), toAnswer, func() bool {
			several = strings.Contains(c.screen.String(), hashes)
			return several || c.screen.shows(texts...)
		})
		if err != nil {
			return err
		}
		if !several {
			return press(c)
		}
		for i, text := range texts {
			err := steps(c, choose(hashes, fmt.Sprint("View hash ", i)), func(c *Console) error {
				return c.until(fmt.Sprintf("a page with %q", text), toAnswer, func() bool { return c.screen.shows(text) })
			}, press)
			if err != nil {
				return err
			}
		}
		if err := c.WaitFor(hashes, toAnswer); err != nil {
			return err
		}
		return count(c, "Back", "hash", len(texts))
	}
}

// request does what is needed for one request.
func request(all ...func(*Console) error) func(*Console) error {
	return func(c *Console) error {
		return steps(c, open, func(c *Console) error { return steps(c, all...) }, changed, leave)
	}
}

// confirm chooses an item of the main menu, checks the number of entries on the list that it leads to, and says yes.
func confirm(item string, keys int, question string) func(*Console) error {
	return func(c *Console) error {
		return steps(c, pick(item), list(item, keys), choose(question, "Yes"))
	}
}

// list waits for the list of entries of an item, counts them and goes on to the question.
func list(item string, keys int) func(*Console) error {
	return func(c *Console) error {
		if err := c.WaitFor("["+item+"]", toAnswer); err != nil {
			return err
		}
		return count(c, "Continue", "key", keys)
	}
}

// either says yes to one of two questions.
func either(questions ...string) func(*Console) error {
	return func(c *Console) error {
		if _, err := c.waitForOne(toAnswer, questions...); err != nil {
			return err
		}
		return c.Select("Yes", toAnswer)
	}
}

// characters answers the questions for three characters of the password, at places that MokManager draws by lot. They are
// counted from 1.
func characters(title, password string) func(*Console) error {
	return func(c *Console) error {
		if err := c.WaitFor(title, toAnswer); err != nil {
			return err
		}
		for range 3 {
			place, err := c.number("Enter password character ", ":")
			if err != nil {
				return err
			}
			if place < 1 || place > len(password) {
				return fmt.Errorf("MokManager asks for character %d of %d", place, len(password))
			}
			if err := answer(password[place-1 : place])(c); err != nil {
				return err
			}
		}
		return nil
	}
}

// number waits for a number between two texts.
func (c *Console) number(before, after string) (int, error) {
	if err := c.WaitFor(before, toAnswer); err != nil {
		return 0, err
	}
	digits := ""
	err := c.until(fmt.Sprintf("a number after %q", before), toAnswer, func() (found bool) {
		digits, _, found = strings.Cut(c.screen.text.String()[c.mark:], after)
		return found
	})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(digits)
}
