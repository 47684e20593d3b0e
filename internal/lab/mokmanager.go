package lab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Time that MokManager gets: to start, from power-on, and to answer a key. A machine that shares its core with a compiler is
// slow.
const (
	toStart  = 90 * time.Second
	toAnswer = 20 * time.Second
)

// Screens of MokManager (shim: MokManager.c).
const (
	prompt    = "Press any key to perform MOK management"
	protected = "Enter MOK password:" // in place of the prompt when a MOK password is set; it waits forever
	menu      = "Perform MOK management"
)

// The first item of the main menu: before anything has changed, and after.
const (
	goOn    = "Continue boot"
	restart = "Reboot"
)

// always are the last items of the main menu, whatever is requested.
var always = []string{"Enroll key from disk", "Enroll hash from disk"}

// grub is what GRUB says at its start, in any configuration.
const grub = "Welcome to GRUB!"

// Decline opens the menu and chooses to continue the boot, which discards every request.
func Decline() func(*Console) error {
	return func(c *Console) error {
		return steps(c, open, func(c *Console) error { return c.reach(goOn, toAnswer) }, leave)
	}
}

// TimeOut presses nothing and waits for the countdown's end and GRUB, which discards every request.
func TimeOut() func(*Console) error {
	return func(c *Console) error {
		if err := c.WaitFor(prompt, toStart); err != nil {
			return err
		}
		return c.WaitFor(grub, toStart)
	}
}

// Offers opens the menu, checks that these items are all that it offers for requests, in this order, and continues the boot,
// which discards the requests. What else there is, always, is to go on and to enrol from a disk.
func Offers(items ...string) func(*Console) error {
	return func(c *Console) error {
		want := append(slices.Clone(items), always...)
		check := func(c *Console) error {
			got, err := c.items(always[len(always)-1], toAnswer)
			if err == nil && !slices.Equal(got[1:], want) {
				err = fmt.Errorf("MokManager offers %q, not %q", got[1:], want)
			}
			return err
		}
		return steps(c, open, check, leave)
	}
}

// Together does several things in one session, whatever kinds of requests there are: it opens the menu once, returns to it
// after each, and leaves it at the end, which resets the machine if one of them changed something. What was requested and not
// done is lost by that reset, but not the record of its password, which the next boot takes for a request: to reset the
// whole list, if it is that of an enrolment. A boot that ends in the menu, by CutInMenu, leaves the same.
func Together(all ...func(*Console) error) func(*Console) error {
	return func(c *Console) error {
		within := c.stay
		c.stay = true
		if err := steps(c, all...); err != nil {
			return err
		}
		c.stay = within
		return leave(c)
	}
}

// WithPassword answers the question for the MOK password, which MokManager asks in place of its prompt where SetPassword has
// set one, and does then what it is given.
func WithPassword(password string, then func(*Console) error) func(*Console) error {
	return func(c *Console) error {
		if err := c.WaitFor(protected, toStart); err != nil {
			return err
		}
		return steps(c, answer(password), then)
	}
}

// ErrCut is what a firmware function returns to have the power cut: Boot ends the machine and returns the EFI variables as
// they are then, without an error.
var ErrCut = errors.New("the power is cut")

// CutAtPrompt cuts the power while MokManager counts down. It has deleted the requests by then, but not the records of their
// passwords.
func CutAtPrompt() func(*Console) error {
	return func(c *Console) error {
		if err := c.WaitFor(prompt, toStart); err != nil {
			return err
		}
		return ErrCut
	}
}

// CutInMenu cuts the power in the main menu; in Together, after what was done before it.
func CutInMenu() func(*Console) error {
	return func(c *Console) error {
		return steps(c, open, func(*Console) error { return ErrCut })
	}
}

func steps(c *Console, all ...func(*Console) error) error {
	for _, step := range all {
		if err := step(c); err != nil {
			return err
		}
	}
	return nil
}

// open answers the countdown and waits for the main menu, which comes at once when MokTimeout says so, and after the MOK
// password. It is open already for all but the first of what is done together.
func open(c *Console) error {
	if c.open {
		return nil
	}
	which, err := c.waitForOne(toStart, prompt, menu)
	if err != nil {
		return err
	}
	if which == prompt {
		if err := c.Key(" "); err != nil {
			return err
		}
		if err := c.WaitFor(menu, toAnswer); err != nil {
			return err
		}
	}
	c.open = true
	return nil
}

// leave chooses the first item of the main menu, which is selected already, unless there is more to do.
func leave(c *Console) error {
	if c.stay {
		return nil
	}
	first := ""
	err := c.until("the main menu", toAnswer, func() bool {
		first = c.screen.selected(c.mark)
		return first != ""
	})
	if err != nil {
		return err
	}
	if first != goOn && first != restart {
		return fmt.Errorf("%q is selected in the main menu:\n%s", first, c.Screen())
	}
	return c.Key(Enter)
}

// back waits until MokManager is back in the main menu.
func back(c *Console) error { return c.WaitFor(menu, toAnswer) }

// changed waits until MokManager is back in the main menu and has changed something.
func changed(c *Console) error {
	return steps(c, back, func(c *Console) error { return c.reach(restart, toAnswer) })
}

// press presses Enter.
func press(c *Console) error { return c.Key(Enter) }

// enter answers the question for a password.
func enter(password string) func(*Console) error { return enterAt("Password:", password) }

func enterAt(question, password string) func(*Console) error {
	return func(c *Console) error {
		if err := c.WaitFor(question, toAnswer); err != nil {
			return err
		}
		return answer(password)(c)
	}
}

// answer types a text and Enter.
func answer(text string) func(*Console) error {
	return func(c *Console) error {
		if err := c.Type(text); err != nil {
			return err
		}
		return c.Key(Enter)
	}
}

// choose waits for the title of a menu or a question, and selects an item of it.
func choose(title, item string) func(*Console) error {
	return func(c *Console) error {
		if err := c.WaitFor(title, toAnswer); err != nil {
			return err
		}
		return c.Select(item, toAnswer)
	}
}

// pick selects an item of the main menu.
func pick(item string) func(*Console) error {
	return func(c *Console) error { return c.Select(item, toAnswer) }
}

// dismiss waits for a box with a message and presses its only button.
func dismiss(message string) func(*Console) error { return choose(message, "OK") }

// count counts the entries on the list that is shown, "View key 0" and so on, before its last item.
func count(c *Console, last, entry string, want int) error {
	if err := c.reach(last, toAnswer); err != nil {
		return err
	}
	if got := strings.Count(c.Screen(), "View "+entry); got != want {
		return fmt.Errorf("MokManager lists %d %ss, not %d:\n%s", got, entry, want, c.Screen())
	}
	return press(c)
}
