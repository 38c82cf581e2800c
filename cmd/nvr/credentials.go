package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"nvr/internal/config"
)

// credentialFlags are how a command is told what opens a camera. A password on
// the command line could be read by every user of the machine.
type credentialFlags struct {
	Username     string `placeholder:"NAME" help:"User of the camera."`
	PasswordFile string `placeholder:"FILE" help:"File whose first line is the password; - is stdin. Without it, a terminal is asked."`
}

const maxPasswordBytes = 4096

// password reads the password that belongs to a user, and has it masked from now on.
func (f credentialFlags) password(c *console, user string) (string, error) {
	var line string
	switch stdin := int(os.Stdin.Fd()); {
	case f.PasswordFile == "-":
		line = firstLine(os.Stdin)
	case f.PasswordFile != "":
		file, err := os.Open(f.PasswordFile)
		if err != nil {
			return "", usagef("--password-file: %w", err)
		}
		defer file.Close()
		line = firstLine(file)
	case user != "" && term.IsTerminal(stdin) && c.errIsTerminal:
		fmt.Fprintf(c.err, "Password of %s: ", user)
		typed, err := term.ReadPassword(stdin)
		fmt.Fprintln(c.err)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		line = string(typed)
	default:
		return "", nil
	}
	switch {
	case line == "":
		return "", usagef("--password-file: its first line is empty")
	case user == "":
		return "", usagef("--password-file: whose password is it? Write --username too")
	}
	c.mask.add(user, line)
	return line, nil
}

func firstLine(r io.Reader) string {
	line, _ := bufio.NewReader(io.LimitReader(r, maxPasswordBytes)).ReadString('\n')
	return strings.TrimRight(line, "\r\n")
}

// showURL is a camera's own URL as it may be shown: without the passwords that some
// vendors put into it, and without characters that a terminal takes for orders.
func (c *console) showURL(u string) string {
	for _, s := range config.SecretsInURL(u) {
		u = strings.ReplaceAll(u, s.Reveal(), "***")
	}
	var b strings.Builder
	for _, char := range []byte(c.mask.text(u)) {
		if char <= ' ' || char >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", char)
			continue
		}
		b.WriteByte(char)
	}
	return b.String()
}
