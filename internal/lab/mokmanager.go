package lab

import (
	"fmt"
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
	prompt = "Press any key to perform MOK management"
	menu   = "Perform MOK management"
)

// grub is what GRUB says at its start, in any configuration.
const grub = "Welcome to GRUB!"

// Enroll enrols the keys of MokNew, of which MokManager must list so many, and resets the machine. It is for
// Machine.Firmware, like its sisters.
func Enroll(keys int, password string) func(*Console) error {
	return func(c *Console) error {
		return steps(c, open, confirm("Enroll MOK", "[Enroll MOK]", keys, "Enroll the key(s)?"), enter(password), reset)
	}
}

// Delete deletes the keys of MokDel, of which MokManager must list so many, and resets the machine.
func Delete(keys int, password string) func(*Console) error {
	return func(c *Console) error {
		return steps(c, open, confirm("Delete MOK", "[Delete MOK]", keys, "Delete the key(s)?"), enter(password), reset)
	}
}

// Decline opens the menu and chooses to continue the boot, which discards every request.
func Decline() func(*Console) error {
	return func(c *Console) error { return steps(c, open, leave) }
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

// WrongPassword tries to enrol the keys of MokNew with a wrong password until MokManager gives up, the third time, and
// continues the boot.
func WrongPassword(keys int, password string) func(*Console) error {
	return func(c *Console) error {
		err := steps(c, open, confirm("Enroll MOK", "[Enroll MOK]", keys, "Enroll the key(s)?"))
		if err != nil {
			return err
		}
		for range 3 {
			if err := steps(c, enter(password), dismiss("Password doesn't match")); err != nil {
				return err
			}
		}
		return steps(c, dismiss("Failed to enroll keys"), func(c *Console) error { return c.WaitFor(menu, toAnswer) }, leave)
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

// open answers the countdown and waits for the main menu.
func open(c *Console) error {
	if err := c.WaitFor(prompt, toStart); err != nil {
		return err
	}
	if err := c.Key(" "); err != nil {
		return err
	}
	return c.WaitFor(menu, toAnswer)
}

func leave(c *Console) error { return c.Select("Continue boot", toAnswer) }

// confirm chooses an item of the main menu, checks the number of keys on the list that it leads to, and says yes.
func confirm(item, title string, keys int, question string) func(*Console) error {
	return func(c *Console) error {
		if err := c.Select(item, toAnswer); err != nil {
			return err
		}
		if err := c.WaitFor(title, toAnswer); err != nil {
			return err
		}
		if err := c.reach("Continue", toAnswer); err != nil {
			return err
		}
		if got := strings.Count(c.Screen(), "View key "); got != keys {
			return fmt.Errorf("MokManager lists %d keys, not %d:\n%s", got, keys, c.Screen())
		}
		if err := c.Key(Enter); err != nil {
			return err
		}
		if err := c.WaitFor(question, toAnswer); err != nil {
			return err
		}
		return c.Select("Yes", toAnswer)
	}
}

// enter answers the question for a password.
func enter(password string) func(*Console) error {
	return func(c *Console) error {
		if err := c.WaitFor("Password:", toAnswer); err != nil {
			return err
		}
		if err := c.Type(password); err != nil {
			return err
		}
		return c.Key(Enter)
	}
}

// dismiss waits for a box with a message and presses its only button.
func dismiss(message string) func(*Console) error {
	return func(c *Console) error {
		if err := c.WaitFor(message, toAnswer); err != nil {
			return err
		}
		return c.Select("OK", toAnswer)
	}
}

// reset leaves the main menu after a change.
func reset(c *Console) error {
	if err := c.WaitFor(menu, toAnswer); err != nil {
		return err
	}
	return c.Select("Reboot", toAnswer)
}
