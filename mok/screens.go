package mok

import (
	"fmt"
	"slices"
)

// Screen is one screen of MokManager (shim's MokManager.c; its texts did not change from shim 15 to 16.1).
type Screen struct {
	// Title is the text that identifies the screen.
	Title string
	// Items to choose from, the first one preselected; none when something is typed or any key will do.
	Items []string
	// Do is what to press or type there.
	Do string
}

// menu is the item of MokManager's main menu for each kind.
var menu = [kinds]string{
	Enroll: "Enroll MOK", Delete: "Delete MOK", Block: "Enroll MOKX", Unblock: "Delete MOKX", Reset: "Reset MOK", ResetBlocked: "Reset MOKX",
	Validation: "Change Secure Boot state", UseDB: "Change DB state", TrustList: "Change MOK List Trusted State", Password: "Set MOK password",
}

// questions are what MokManager asks before it does a wish, by kind and whether it is to switch on.
var questions = [kinds]map[bool]string{
	Enroll: {false: "Enroll the key(s)?"}, Block: {false: "Enroll the key(s)?"},
	Delete: {false: "Delete the key(s)?"}, Unblock: {false: "Delete the key(s)?"},
	Reset: {false: "Erase all stored keys in MokList?"}, ResetBlocked: {false: "Erase all stored keys in MokListX?"},
	Validation: {false: "Disable Secure Boot", true: "Enable Secure Boot"},
	UseDB:      {false: "Ignore DB certs/hashes", true: "Use DB certs/hashes"},
	TrustList:  {false: "Do not trust the MOK list", true: "Trust the MOK list"},
	Password:   {false: "Clear MOK password?", true: "Set MOK password?"},
}

// fromDisk are the last items of every main menu.
var fromDisk = []string{"Enroll key from disk", "Enroll hash from disk"}

// UsualTimeout is how long shim waits without MokTimeout, in seconds (MokManager.c, draw_countdown).
const UsualTimeout = 10

// screens are those of a wish with n entries to show, in MokManager's order.
func (w Wish) screens(n int) []Screen {
	var s []Screen
	if w.Timeout == nil || *w.Timeout != -1 {
		seconds := int32(UsualTimeout)
		if w.Timeout != nil {
			seconds = *w.Timeout
		}
		s = append(s, Screen{Title: "Press any key to perform MOK management",
			Do: fmt.Sprintf("press a key within %d seconds, or the request is gone", seconds)})
	}
	s = append(s, Screen{"Perform MOK management", slices.Concat([]string{"Continue boot", menu[w.Kind]}, fromDisk), "choose " + menu[w.Kind]})
	if w.Kind.listed() {
		var items []string
		for i := range n {
			items = append(items, fmt.Sprintf("View key %d", i))
		}
		s = append(s, Screen{"[" + menu[w.Kind] + "]", append(items, "Continue"), "view the keys if you like, then choose Continue"})
	}
	ask := Screen{questions[w.Kind][w.On && !w.Kind.listed()], []string{"No", "Yes"}, "choose Yes (Escape counts as Yes)"}
	hidden := "nothing is shown, the keyboard is a US one"
	switch {
	case w.Form() == Typed:
		s = append(s, Screen{"Enter password character", nil, "three times: type the character of the password that has the number shown, and Enter; " + hidden}, ask)
	case w.Kind == Password && w.On:
		s = append(s, Screen{"Confirm MOK passphrase:", nil, "type the password and Enter; " + hidden}, ask)
	case w.Kind == Password:
		s = append(s, ask)
	default:
		s = append(s, ask, Screen{"Password:", nil, "type the password and Enter; " + hidden})
	}
	return append(s, Screen{"Perform MOK management", slices.Concat([]string{"Reboot"}, fromDisk), "choose Reboot"})
}
